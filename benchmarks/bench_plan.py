"""The plan's memory model beside measured peaks, at three small sizes: `make bench` keeps them."""

from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import Comparison, in_fresh_process, keep
from benchmarks.peak_probe import CASES, Case
from qunlearn.planning.memory import training_peak
from qunlearn.planning.training import Training

PROBE = Path(__file__).with_name("peak_probe.py")


def predicted(case: Case) -> int:
    """Bytes, as the plan has them."""
    settings = asdict(case.settings)
    training = Training.of_unlearning(
        case.shape, case.objective, case.adapter, settings, settings["max_tokens"], "cpu"
    )
    peak = training_peak(training)
    read = 4 * (case.shape.parameters + training.trained) if case.adapter == "lora" else 0
    return peak.merging if case.merging else max(peak.updates, read)


def compare() -> list[Comparison]:
    """Predicted (`ours`) and measured bytes of each case."""
    measured = in_fresh_process(PROBE)
    return [
        Comparison(
            f"largest memory: {case.name}", "MB", [predicted(case) / 1e6], [found / 1e6], "share"
        )
        for case, found in zip(CASES, measured, strict=True)
    ]


if __name__ == "__main__":
    keep(
        "plan",
        compare(),
        "`ours` is what plan.py's memory model predicts, `baseline` what torch's profiler counted "
        "in the CPU allocator; the ratio should lie between 0.85 and 1.15. Both are exact numbers, "
        "the same in each run.",
        shapes={case.name: asdict(case.shape) for case in CASES},
        parameters={case.name: case.shape.parameters for case in CASES},
    )
