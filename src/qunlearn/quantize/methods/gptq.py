"""GPTQ (Frantar et al. 2023) by gptqmodel, AutoGPTQ's maintained successor.

Plain GPTQ: no reordering of columns, damping of 1 %, symmetric grids, float32 weights. (gptqmodel's
own defaults reorder columns within groups, damp by 5 % and round the weights to bfloat16 first.)
Columns are taken in blocks of 128; a smaller group has its scale from the weights as they are at
the start of its block, as in AutoGPTQ.

The codes are packed by its Python code: its native packer gives the same bytes, but is compiled at
first use, which takes 20 s, a compiler and a place in the user's home.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision, Recipe
from qunlearn.run.errors import InputError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from qunlearn.quantize.calibration import Texts, Windows
    from qunlearn.quantize.packed import PackedMatrix

GROUP = 128
"""Weights that share a scale where a name gives no group: the usual choice."""
LOSSES = "gptq_loss.csv"
WORD = 32  # bits of a packed integer
BATCH = 8
SURROUNDINGS = {
    "GPTQMODEL_CPU_WORKERS": "2",  # with one, its default on two cores, its loader refuses to work
    "GPTQMODEL_DISABLE_PACK_EXT": "1",
}


class Gptq(Method):
    """Plain GPTQ, whatever package runs it: a folder in GPTQ's first packed format.

    It is evaluated from our own reading of that folder, one matrix at a time: importing gptqmodel
    takes seconds, and it computes in 16 bits only.
    """

    name = "gptq"
    form = "gptq<bits>[g<group>]"
    about = "GPTQ by gptqmodel to 2, 3, 4 or 8 bits; groups of 128 where none is named"
    environment = "gptq"
    packages = frozenset({"gptqmodel"})
    library = "gptqmodel"
    calibrated = True
    packed = True
    recipe = Recipe(
        ("gptqmodel",),
        """\
from gptqmodel import GPTQModel
from transformers import AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = GPTQModel.load(folder)
""",
        ("gptqmodel computes in 16 bits, hence not to the last digit what was measured above.",),
        "gptqmodel",
    )

    def parse(self, name: str) -> Precision | None:
        """`gptq4`, `gptq3g64`."""
        pattern = rf"{self.name}(?P<bits>[2348])(?:g(?P<group>16|32|64|128|256|512|1024))?"
        if not (match := re.fullmatch(pattern, name)):
            return None
        return Precision(name, self.name, int(match["bits"]), int(match["group"] or GROUP))

    def stored_bits(self, precision: Precision) -> float:
        """The code, and for each group a 16-bit scale and a zero point."""
        assert precision.group is not None  # see parse
        return precision.bits + (16 + precision.bits) / precision.group

    def describe(self, precision: Precision) -> str:
        """How the scales are shared."""
        span = f"for {precision.group} neighbouring weights of a row"
        return f"symmetric, columns in their own order; one scale {span}"

    def label(self, precision: Precision) -> str:
        """`GPTQ4`; with the group where it is not the usual one."""
        group = f" g{precision.group}" if f"g{precision.group}" in precision.name else ""
        return f"{self.name.upper()}{precision.bits}{group}"

    def footnote(self, quantization: Mapping[str, Any]) -> str:
        """How it was calibrated."""
        sample = quantization["calibration"]
        return (
            f"GPTQ ({self.library}): damping 1 %, no reordering, {sample['sequences']} sequences "
            f"of {sample['length']} tokens of {sample['split']}."
        )

    def check(self, layers: Mapping[str, nn.Linear], precision: Precision) -> None:
        """Groups must divide the rows, and the packed format's words both widths.

        Raises:
            InputError: names the first layer at fault.
        """
        super().check(layers, precision)
        _check_widths(layers, precision)

    def write(
        self, source: Path, base: Path | None, precision: Precision, texts: Texts | None, out: Path
    ) -> dict[str, Any]:
        """As every method, from calibration windows that are drawn here.

        `gptq_loss.csv` in the folder has each layer's loss and the tokens it was measured on.

        Raises:
            InputError: a bad checkpoint or corpus, a group size that does not fit the model, or
                too few calibration texts.
        """
        from qunlearn.quantize.calibration import describe, draw
        from qunlearn.quantize.gptq_folder import described_by, finish, layers_of

        assert texts is not None  # quantize_checkpoint has seen to it
        described = described_by(source, base)
        layers = layers_of(described)
        self.check(layers, precision)
        with TemporaryDirectory(dir=out) as work:
            dense, packed = Path(work, "dense"), Path(work, "packed")
            tokenizer, context = self.prepare(source, base, described, dense)
            windows = draw(texts.corpus, tokenizer, context, texts.settings)
            log = self.run(dense, precision, windows, packed)
            package = f"{self.library}:{version(self.library)}"
            finish(packed, described, precision, package, out)
        if log:
            _write_losses(out / LOSSES, layers, log)
        return {
            "quantized_matrices": len(layers),
            "storage": "GPTQ's first packed format; the rest in float32",
            "backend": {"name": self.library, "version": version(self.library)},
            "calibration": describe(windows, texts.settings),
        }

    def prepare(
        self, source: Path, base: Path | None, described: Path, dense: Path
    ) -> tuple[Any, int | None]:
        """Write the merged float32 checkpoint into `dense`.

        Returns:
            Its tokenizer, and the longest sequence that it takes, if it has a limit.
        """
        from qunlearn.models.checkpoints import load_dense, load_tokenizer, save_model

        model, tokenizer = load_dense(source, base), load_tokenizer(described)
        save_model(model, tokenizer, dense)
        return tokenizer, getattr(model.config, "max_position_embeddings", None)

    def run(
        self, dense: Path, precision: Precision, windows: Windows, packed: Path
    ) -> list[dict[str, Any]]:
        """Let the package write `dense` into `packed`; returns its log, an entry a layer."""
        return _quantize(dense, precision, windows, packed)

    def load(self, folder: Path, precision: Precision) -> PreTrainedModel:
        """Dequantized, matrix by matrix."""
        import torch

        from qunlearn.quantize.packed import check_bits, load_packed

        check_bits(folder, precision)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model: Any = load_packed(folder)
        return model.to(device)  # type: ignore[no-any-return]

    def read_packed(self, folder: Path, name: str, precision: Precision) -> PackedMatrix:
        """Codes and scales as they are shipped."""
        from qunlearn.quantize.packed import check_matrix, read_matrix

        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder; quantize the model to {precision.name}")
        matrix = read_matrix(folder, name)
        check_matrix(folder, name, matrix, precision)
        return matrix


METHODS = (Gptq(),)


def _quantize(
    dense: Path, precision: Precision, windows: Windows, packed: Path
) -> list[dict[str, Any]]:
    """Let gptqmodel write `dense` into `packed`; returns its log, an entry a layer."""
    os.environ |= SURROUNDINGS
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig  # type: ignore[import-untyped]
    from gptqmodel.looper import loop_processor  # type: ignore[import-untyped]

    from qunlearn.quantize.gptq_folder import PLAIN

    # It writes a log of its own, of times and progress, into ./logs wherever the job was started.
    loop_processor._PROJECT_LOG_DIR = dense / "logs"
    config = QuantizeConfig(
        bits=precision.bits,
        group_size=precision.group,
        act_group_aware=False,
        fallback=None,  # which would round plainly and go on where GPTQ fails
        offload_to_disk=False,
        **PLAIN,
    )
    model = GPTQModel.load(str(dense), config, dtype=torch.float32)
    examples = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows]
    model.quantize(examples, batch_size=BATCH, calibration_data_min_length=1)
    model.save(str(packed))
    log: list[dict[str, Any]] = model.quant_log
    return log


def _write_losses(path: Path, names: Iterable[str], log: Iterable[Mapping[str, Any]]) -> None:
    """Write the log in the model's order, which two workers at once do not keep to."""
    entries = {f"{entry['layer']}.{entry['module']}": entry for entry in log}
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["layer", "module", "loss", "samples"])
        for name in names:
            found = re.search(r"\d+\..+", name)
            entry = entries[found.group() if found else name]
            writer.writerow([entry[key] for key in ("layer", "module", "loss", "samples")])


def _check_widths(layers: Mapping[str, nn.Linear], precision: Precision) -> None:
    """Complain about layers that do not fill the 32-bit words of the packed format.

    Raises:
        InputError: names the first layer at fault.
    """
    for name, layer in layers.items():
        for side, width in (("inputs", layer.in_features), ("outputs", layer.out_features)):
            if width % WORD:
                raise InputError(
                    f"precision '{precision.name}': {name} has {width} {side}, which GPTQ's packed "
                    f"format takes in multiples of {WORD}; use nf4 or rtn{precision.bits}"
                )
