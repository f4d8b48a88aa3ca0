"""Measure how much of an unlearned model's update rounding to each precision leaves.

Args:
    target: checkpoint that unlearning started from.
    model: unlearned checkpoint, or LoRA adapter of the target.
    precisions: one or more, e.g. bf16 nf4 gptq4.
    output: folder for <precision>.csv and <precision>_histogram.csv, which have no rows for a
        diverged model. A previous one is replaced.
    packed: for each precision whose codes are read from folders, such as gptq4, those of target
        and model.
"""

from pathlib import Path
from typing import Any

from qunlearn.models.checkpoints import is_diverged
from qunlearn.quantize.method import Precision, packed_pairs
from qunlearn.run.cli import hide_unused, run_script
from qunlearn.run.files import new_folder
from qunlearn.run.manifest import write_manifest


@run_script
def main(
    target: Path,
    model: Path,
    precisions: list[str],
    output: Path,
    packed: tuple[Path, ...] = (),
) -> None:
    wanted = [Precision.parse(name) for name in precisions]
    pairs = packed_pairs(wanted, packed)
    inputs = {"target": target, "model": model}
    for name, (before, after) in pairs.items():
        inputs |= {f"target_{name}": before, f"model_{name}": after}
    from qunlearn.survival.table import BINS, MATRICES, write

    measurements: dict[str, Any] = dict.fromkeys(precisions, ([], []))
    if not is_diverged(model):
        hide_unused()
        from qunlearn.survival.measure import measure

        measurements = measure(target, model, wanted, pairs)
    with new_folder(output) as folder:
        for name, (matrices, bins) in measurements.items():
            write(folder / f"{name}.csv", MATRICES, matrices)
            write(folder / f"{name}_histogram.csv", BINS, bins)
        write_manifest(folder, "survival", {"precisions": precisions}, inputs)
