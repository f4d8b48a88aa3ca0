"""Bytes on the disk: what steps leave, and what they have there besides while they run."""

from collections.abc import Mapping, Sequence
from typing import Any

from qunlearn.planning.shapes import ModelShape
from qunlearn.planning.steps import StepPlan
from qunlearn.planning.training import Training
from qunlearn.quantize.method import Precision

KEPT = {
    "all": {"model", "adapter", "whole", "quantized"},
    "adapters": {"model", "adapter"},
    "tables": set[str](),
}
"""`keep` -> what stays: base, target and retrain; adapters; whole unlearned models; quantized ones.
What stays in any case, corpora, answers and tables, is small beside them."""
MOST_COPIES = 2
"""A checkpoint to resume from is written whole before the one before it is deleted."""


def trained_bytes(training: Training) -> int:
    """What training leaves: all weights as they were trained, or the adapter."""
    return training.weight_bytes * training.trained


def resume_bytes(training: Training) -> int:
    """What a killed training resumes from: weights (or the adapter) and both moments, twice."""
    moments = 2.0 if training.eight_bit else 2.0 * training.weight_bytes
    return int(MOST_COPIES * training.trained * (training.weight_bytes + moments))


def reference_bytes(training: Training, retain: int) -> int:
    """The KL term's reference: the last hidden states of all retain rows, as they are multiplied.

    Args:
        retain: rows.
    """
    if "kl" not in training.losses:
        return 0
    return training.compute_bytes * training.shape.hidden * retain * training.tokens


def quantized_bytes(shape: ModelShape, name: str) -> int:
    """A checkpoint in a precision.

    | precision | a quantized weight | all else |
    |---|---|---|
    | bf16 | 2 bytes | 2 |
    | int8 | 1, and a scale a row | 4 |
    | fp4, nf4 | 1/2, and 4 bytes a block of 64 | 4 |
    | gptq | bits / 8, and for each group a scale of 2 bytes and a zero point of `bits` | 4 |
    | rtn | 4: the points of the grid | 4 |
    """
    precision = Precision.parse(name)
    rest = shape.parameters - shape.matrices
    if precision.method == "bf16":
        return 2 * shape.parameters
    if precision.method == "int8":
        rows = sum(outputs for _, outputs in shape.linear_shapes().values())
        return shape.matrices + 4 * shape.layers * rows + 4 * rest
    if precision.method in ("fp4", "nf4"):
        return int(shape.matrices * (1 / 2 + 4 / 64)) + 4 * rest
    if precision.method == "gptq":
        bits = precision.bits / 8
        return int(shape.matrices * (bits + (2 + bits) / (precision.group or 128))) + 4 * rest
    return 4 * shape.parameters


def corpus_bytes(sizes: Mapping[str, Any], rate: float) -> int:
    """A corpus in MUSE's layout.

    Args:
        sizes: of its lists.
        rate: bytes a token.
    """
    return int(sum(texts.tokens for texts in sizes.values()) * rate)


def left(keep: str, what: str, each: int, jobs: int = 1, *, late: bool = False) -> dict[str, Any]:
    """The fields of a StepPlan for an output of `each` bytes a job.

    Args:
        keep: of the configuration.
        what: as in `KEPT`.
        late: whether what does not stay is read by jobs that wait for others, so that many are
            there at once.
    """
    if what in KEPT[keep]:
        return {"disk_bytes": jobs * each}
    if late:
        return {"disk_bytes": 0, "held_bytes": jobs * each}
    return {"disk_bytes": 0, "passing_bytes": each}


def standing(steps: Sequence[StepPlan]) -> int:
    """What stays, and what stays until most is done."""
    return sum(step.disk_bytes + step.held_bytes for step in steps)


def working(steps: Sequence[StepPlan]) -> int:
    """What comes and goes, at most, where one job runs at a time.

    Of each kind of job one output that waits for its readers, and the largest scratch.
    """
    passing: dict[str, int] = {}
    for step in steps:
        kind = step.step.split()[0]
        passing[kind] = max(passing.get(kind, 0), step.passing_bytes)
    return sum(passing.values()) + max((step.scratch_bytes for step in steps), default=0)


def peak_disk(steps: Sequence[StepPlan]) -> int:
    """The most that is on the disk, where one job runs at a time."""
    return standing(steps) + working(steps)


def bound(steps: Sequence[StepPlan]) -> int:
    """What cannot be exceeded however many jobs run at once, in whatever order."""
    moving = sum(step.jobs * (step.passing_bytes + step.scratch_bytes) for step in steps)
    return standing(steps) + moving
