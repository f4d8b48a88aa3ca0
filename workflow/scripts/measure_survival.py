"""Measure what the rounding to each precision leaves of an unlearned model's update."""

from pathlib import Path

from qunlearn.checkpoints import is_diverged
from qunlearn.cli import run_script
from qunlearn.errors import InputError
from qunlearn.imports import OPTIONAL, hide
from qunlearn.precision import Precision


def main(
    target: Path,
    model: Path,
    precisions: list[str],
    output: Path,
    quantized: Path | None = None,
    target_id: str = "target",
    model_id: str | None = None,
) -> None:
    """Measure what the rounding to each precision leaves of an unlearned model's update.

    Args:
        target: checkpoint that unlearning started from.
        model: unlearned checkpoint, or LoRA adapter of the target.
        precisions: one or more, e.g. bf16 nf4 gptq4.
        output: folder of <precision>.csv and <precision>_histogram.csv; of a diverged model both
            have no row.
        quantized: folder with <target id>/<precision> and <model id>/<precision>; needed for gptq.
        target_id: of the target in that folder.
        model_id: of the unlearned model in that folder, e.g. npo_gdr/lora/seed0.
    """
    wanted = [Precision.parse(name) for name in precisions]
    packed = {}
    for precision in wanted:
        if precision.method == "gptq":
            if quantized is None or model_id is None:
                raise InputError(f"{precision.name}: give --quantized and --model-id as well")
            packed[precision.name] = (
                quantized / target_id / precision.name,
                quantized / model_id / precision.name,
            )
    from qunlearn.survival.table import Measurement, write_histogram, write_survival

    measurements = {precision.name: Measurement([], []) for precision in wanted}
    if not is_diverged(model):
        hide(*OPTIONAL)
        from qunlearn.survival.measure import measure

        measurements = measure(target, model, wanted, packed)
    for name, measurement in measurements.items():
        write_survival(output / f"{name}.csv", measurement.rows)
        write_histogram(output / f"{name}_histogram.csv", measurement.bins)


if __name__ == "__main__":
    run_script(main)
