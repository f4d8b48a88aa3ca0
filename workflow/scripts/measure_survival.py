"""Measure what the rounding to each precision leaves of an unlearned model's update."""

from pathlib import Path

from qunlearn.models.checkpoints import is_diverged
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.cli import run_script
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder
from qunlearn.run.imports import OPTIONAL, hide
from qunlearn.run.manifest import Stopwatch, verify, write_manifest


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
            have no row. A previous one is replaced.
        quantized: folder with <target id>/<precision> and <model id>/<precision>; needed for
            precisions that are known from folders alone, such as gptq4.
        target_id: of the target in that folder.
        model_id: of the unlearned model in that folder, e.g. npo_gdr/lora/seed0.
    """
    stopwatch = Stopwatch()
    wanted = [Precision.parse(name) for name in precisions]
    packed: dict[str, tuple[Path, Path]] = {}
    inputs = {"target": target, "model": model}
    for precision in wanted:
        if method_of(precision).calibrated:
            if quantized is None or model_id is None:
                raise InputError(f"{precision.name}: give --quantized and --model-id as well")
            packed[precision.name] = (
                quantized / target_id / precision.name,
                quantized / model_id / precision.name,
            )
            for name, made in zip(("target", "model"), packed[precision.name], strict=True):
                verify(made)
                inputs[f"{name}_{precision.name}"] = made
    from qunlearn.survival.table import Measurement, write_histogram, write_survival

    measurements = {precision.name: Measurement([], []) for precision in wanted}
    if not is_diverged(model):
        hide(*OPTIONAL)
        from qunlearn.survival.measure import measure

        measurements = measure(target, model, wanted, packed)
    with new_folder(output) as folder:
        for name, measurement in measurements.items():
            write_survival(folder / f"{name}.csv", measurement.rows)
            write_histogram(folder / f"{name}_histogram.csv", measurement.bins)
        write_manifest(
            folder,
            step="survival",
            settings={"precisions": precisions},
            inputs=inputs,
            stopwatch=stopwatch,
        )


if __name__ == "__main__":
    run_script(main)
