"""GPTQ (Frantar et al. 2023) by gptqmodel, AutoGPTQ's maintained successor.

Plain GPTQ: no reordering of columns, damping of 1 %, symmetric grids, float32 weights. (gptqmodel's
own defaults reorder columns within groups, damp by 5 % and round the weights to bfloat16 first.)
Columns are taken in blocks of 128; a smaller group has its scale from the weights as they are at
the start of its block, as in AutoGPTQ.

The codes are packed by its Python code: its native packer gives the same bytes, but is compiled at
first use, which takes 20 s, a compiler and a place in the user's home.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision, Recipe
from qunlearn.run.errors import InputError

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.quantize.calibration import Texts, Windows
    from qunlearn.quantize.packed import PackedMatrix

PLAIN = {"damp_percent": 0.01, "desc_act": False, "sym": True}
"""GPTQ as published: its damping, and without the later orders of columns."""
WORD = 32  # bits of a packed integer
BATCH = 8
SURROUNDINGS = {
    "GPTQMODEL_CPU_WORKERS": "2",  # with one, its default on two cores, its loader refuses to work
    "GPTQMODEL_DISABLE_PACK_EXT": "1",
}
CARRIED = ("*token*", "vocab.*", "merges.txt", "chat_template*", "generation_config.json")


class Gptq(Method):
    """Plain GPTQ, whatever package runs it: a folder in GPTQ's first packed format.

    It is evaluated from our own reading of that folder, one matrix at a time: importing gptqmodel
    takes seconds, and it computes in 16 bits only.
    """

    name = "gptq"
    form = "gptq<bits>[g<group>]"
    pattern = r"gptq(?P<bits>[2348])(?:g(?P<group>16|32|64|128|256|512|1024))?"
    group = 128
    environment = "gptq"
    packages = frozenset({"gptqmodel"})
    library = "gptqmodel"
    calibrated = True
    scheme = "symmetric, columns in their own order; one scale {span}"
    storage = "GPTQ's first packed format; the rest in float32"
    note = (
        "GPTQ ({library}): damping 1 %, no reordering, {sequences} sequences of {length} tokens of "
        "{split}."
    )
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

    def stored_bits(self, precision: Precision) -> float:
        """The code, and for each group a 16-bit scale and a zero point."""
        assert precision.group is not None  # see `pattern`
        return precision.bits + (16 + precision.bits) / precision.group

    def check(self, layers: Mapping[str, nn.Linear], precision: Precision) -> None:
        """Groups must divide the rows, and the packed format's words both widths.

        Raises:
            InputError: names the first layer at fault.
        """
        super().check(layers, precision)
        for name, layer in layers.items():
            for side, width in (("inputs", layer.in_features), ("outputs", layer.out_features)):
                if width % WORD:
                    raise InputError(
                        f"precision '{precision.name}': {name} has {width} {side}, which GPTQ's "
                        f"packed format takes in multiples of {WORD}; use nf4 or "
                        f"rtn{precision.bits}"
                    )

    def write(
        self,
        source: Path,
        base: Path | None,
        precision: Precision,
        out: Path,
        texts: Texts | None = None,
    ) -> dict[str, Any]:
        """As every method, from calibration windows that are drawn here.

        The packages differ in what they write beside the weights: times, temporary paths, settings
        of their own. So the folder has the weights as they come and everything else from the
        checkpoint that was quantized.

        Raises:
            InputError: a bad checkpoint or corpus, no corpus, a group size that does not fit the
                model, or too few calibration texts.
        """
        from qunlearn.corpora import layout
        from qunlearn.models.updates import quantized_layers
        from qunlearn.quantize.calibration import describe, draw
        from qunlearn.run.files import read_json, write_json

        if texts is None:
            raise InputError(f"precision '{precision.name}' calibrates on texts; give --corpus")
        described = base or source
        layers = quantized_layers(described)
        self.check(layers, precision)
        config = read_json(described / "config.json")
        with TemporaryDirectory(dir=out) as work:
            dense, packed = Path(work, "dense"), Path(work, "packed")
            tokenizer = self.prepare(source, base, dense)
            raw = layout.load(texts.corpus).raw[texts.settings.split]
            windows = draw(raw, tokenizer, config.get("max_position_embeddings"), texts.settings)
            self.run(dense, precision, windows, packed)
            for path in packed.glob("*.safetensors*"):
                shutil.copyfile(path, out / path.name)  # not its mode, which may be private
        backend = {"name": self.library, "version": version(self.library)}
        quantization = {
            "quant_method": "gptq",
            "bits": precision.bits,
            "group_size": precision.group,
            **PLAIN,
            "checkpoint_format": "gptq",
            "pack_dtype": "int32",
            "lm_head": False,
            "meta": {"quantizer": [":".join(backend.values())]},
        }
        config |= {"dtype": "float32", "quantization_config": quantization}
        write_json(out / "config.json", config)
        write_json(out / "quantize_config.json", quantization)
        for path in (path for pattern in CARRIED for path in described.glob(pattern)):
            shutil.copyfile(path, out / path.name)
        return {
            "quantized_matrices": len(layers),
            "storage": self.storage,
            "backend": backend,
            "calibration": describe(windows, texts.settings),
        }

    def prepare(self, source: Path, base: Path | None, dense: Path) -> PreTrainedTokenizerBase:
        """Write the merged float32 checkpoint into the folder `dense`; returns its tokenizer."""
        from qunlearn.models.checkpoints import load_dense, load_tokenizer, save_model

        tokenizer = load_tokenizer(base or source)
        save_model(load_dense(source, base), tokenizer, dense)
        return tokenizer

    def run(self, dense: Path, precision: Precision, windows: Windows, packed: Path) -> None:
        """Let the package write `dense` into `packed`."""
        os.environ |= SURROUNDINGS
        import torch
        from gptqmodel import GPTQModel, QuantizeConfig  # type: ignore[import-untyped]
        from gptqmodel.looper import loop_processor  # type: ignore[import-untyped]

        # It writes a log of its own, of times and progress, into ./logs of the current folder.
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
        model.quantize(examples(windows), batch_size=BATCH, calibration_data_min_length=1)
        model.save(str(packed))

    def load(self, folder: Path, precision: Precision) -> PreTrainedModel:
        """Dequantized, matrix by matrix."""
        import torch

        from qunlearn.quantize.packed import load_packed

        model: Any = load_packed(folder, precision)
        return model.to("cuda" if torch.cuda.is_available() else "cpu")  # type: ignore[no-any-return]

    def read_packed(self, folder: Path, name: str, precision: Precision) -> PackedMatrix:
        """Codes and scales as they are shipped."""
        from qunlearn.quantize.packed import read_matrix

        return read_matrix(folder, name, precision)


METHODS = (Gptq(),)


def examples(windows: Windows) -> list[dict[str, list[int]]]:
    """Calibration windows as both packages take them."""
    return [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows]
