"""GPTQ (Frantar et al. 2023) by gptqmodel, AutoGPTQ's maintained successor.

Plain GPTQ: no reordering of columns, damping of 1 %, symmetric grids, float32 weights. (gptqmodel's
own defaults reorder columns within groups, damp by 5 % and round the weights to bfloat16 first.)
Columns are taken in blocks of 128; a smaller group has its scale from the weights as they are at
the start of its block, as in AutoGPTQ.

The codes are packed by its Python code: its native packer gives the same bytes, but is compiled at
first use, which takes 20 s, a compiler and a place in the user's home.
"""

import csv
import os
import re
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from qunlearn.checkpoints import load_dense, load_tokenizer, save_model
from qunlearn.precision import Precision
from qunlearn.quantize.calibration import Windows, draw
from qunlearn.quantize.gptq_folder import PLAIN, check_layers, described_by, facts, finish
from qunlearn.settings.quantization import CalibrationSettings

PACKAGE = "gptqmodel"
LOSSES = "gptq_loss.csv"
BATCH = 8
SURROUNDINGS = {
    "GPTQMODEL_CPU_WORKERS": "2",  # with one, its default on two cores, its loader refuses to work
    "GPTQMODEL_DISABLE_PACK_EXT": "1",
}


def quantize_with_gptqmodel(
    source: Path,
    base: Path | None,
    precision: Precision,
    corpus: Path,
    settings: CalibrationSettings,
    output_folder: Path,
) -> dict[str, Any]:
    """Write `source` in a GPTQ precision, with its tokenizer, into `output_folder`.

    The folder can be loaded by gptqmodel, and by transformers where gptqmodel and optimum are
    installed. `gptq_loss.csv` in it has each layer's loss and the tokens it was measured on.

    Args:
        source: a dense checkpoint, or a LoRA adapter, which is merged into `base` in float32.
        base: the checkpoint that the adapter was trained on; otherwise unused.
        precision: what to quantize to.
        corpus: where the calibration texts are drawn from.
        settings: how they are drawn.
        output_folder: receives the files.

    Returns:
        Facts for the manifest.

    Raises:
        InputError: a bad checkpoint or corpus, a group size that does not fit the model, or too
            few calibration texts.
    """
    described = described_by(source, base)
    names = check_layers(described, precision)
    model, tokenizer = load_dense(source, base), load_tokenizer(described)
    windows = draw(corpus, tokenizer, context_of(model.config), settings)
    with TemporaryDirectory(dir=output_folder) as work:
        dense, packed = Path(work, "dense"), Path(work, "packed")
        save_model(model, tokenizer, dense)
        del model
        log = _quantize(dense, precision, windows, packed)
        finish(packed, described, precision, f"{PACKAGE}:{version(PACKAGE)}", output_folder)
    _write_losses(output_folder / LOSSES, names, log)
    return facts(output_folder, names, PACKAGE, windows, settings)


def context_of(config: Any) -> int | None:
    """Longest sequence that a model takes, if its config names one."""
    longest: int | None = getattr(config, "max_position_embeddings", None)
    return longest


def _quantize(
    dense: Path, precision: Precision, windows: Windows, packed: Path
) -> list[dict[str, Any]]:
    """Let gptqmodel write `dense` into `packed`; returns its log, an entry a layer."""
    os.environ |= SURROUNDINGS
    from gptqmodel import GPTQModel, QuantizeConfig  # type: ignore[import-untyped]
    from gptqmodel.looper import loop_processor  # type: ignore[import-untyped]

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
