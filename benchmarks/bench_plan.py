"""The plan's memory model beside measured peaks, at three small sizes: `make bench` keeps them."""

from dataclasses import asdict
from pathlib import Path

from benchmarks.harness import Comparison, in_fresh_process, keep
from benchmarks.peak_probe import CASES, Case
from qunlearn.models.shape import Training
from qunlearn.training.objectives import Objective

PROBE = Path(__file__).with_name("peak_probe.py")


def predicted(case: Case) -> int:
    """Bytes, as the plan has them."""
    settings, terms = asdict(case.settings), Objective.parse(case.objective).kinds
    training = Training(case.shape, settings, case.adapter, terms, cpu=True)
    return training.update_bytes()


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
        "in the CPU allocator, with garbage collection off; the ratio should lie between 0.95 and "
        "1.05. Frozen weights are narrowed in no fixed order, which moves LoRA's smaller peaks by "
        "a few percent from run to run.",
        shapes={case.name: asdict(case.shape) for case in CASES},
        parameters={case.name: case.shape.parameters for case in CASES},
    )
