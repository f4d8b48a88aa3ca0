"""The candidates of a cell and their references, as means over the seeds of what they answered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

Answers = Mapping[str, Any]
"""Name of a model -> what `asking.ask` found of it."""


@dataclass(frozen=True)
class Scores:
    """Means over seeds: KnowMem and Utility on a scale of 100, forget NLL in nats a token."""

    knowmem: float
    utility: float
    nll_forget: float

    @classmethod
    def mean(cls, models: Sequence[Mapping[str, Any]]) -> "Scores":
        """Of the answers of one model a seed."""
        return cls(
            *(
                round(fmean(model[name] for model in models), 6)
                for name in ("knowmem", "utility", "nll_forget")
            )
        )

    @property
    def values(self) -> tuple[float, ...]:
        """KnowMem, Utility, forget NLL."""
        return tuple(asdict(self).values())


@dataclass(frozen=True)
class Candidate:
    """A point of a grid at a number of epochs.

    Attributes:
        point: name of its settings.
        epoch: folder of its snapshot; the candidates of a point are in the order of their epochs.
        scores: over the seeds that did not diverge; None where all did.
        seeds: trainings.
        diverged: how many of them diverged.
    """

    point: str
    epoch: str
    scores: Scores | None
    seeds: int
    diverged: int

    @property
    def name(self) -> str:
        """`<point>/<epoch>`."""
        return f"{self.point}/{self.epoch}"

    @property
    def epochs(self) -> float:
        """The number in the folder's name."""
        return float(self.epoch.removeprefix("epoch"))


@dataclass(frozen=True)
class Asked:
    """How many questions each model was asked."""

    forget: int
    retain: int


def read_answers(path: Path) -> Answers:
    """What a job of `ask_candidates.py` wrote.

    Raises:
        InputError: the file is missing or holds something else.
    """
    found = read_json(path)
    if not isinstance(found, dict) or not isinstance(found.get("models"), dict):
        raise InputError(f"{path}: no answers of candidates; run ask_candidates.py again")
    models: Answers = found["models"]
    return models


def gather(points: Sequence[str], answers: Mapping[str, Sequence[Answers]]) -> list[Candidate]:
    """The candidates of a cell, point by point in the order given, each by its epochs.

    Args:
        answers: point -> of each seed what its snapshots answered, in the order of their epochs.
    """
    found = []
    for point in points:
        for epoch in answers[point][0]:
            seeds = [seed[epoch] for seed in answers[point]]
            whole = [model for model in seeds if model["status"] == "ok"]
            scores = Scores.mean(whole) if whole else None
            found.append(Candidate(point, epoch, scores, len(seeds), len(seeds) - len(whole)))
    return found


def reference(name: str, answers: Iterable[Answers]) -> Scores:
    """Target or retrain, from one file of answers or from one a seed.

    Raises:
        InputError: one of them diverged.
    """
    models = [model for found in answers for model in found.values()]
    if any(model["status"] != "ok" for model in models):
        raise InputError(
            f"{name} diverged: no candidate can be compared with it; change its settings"
        )
    return Scores.mean(models)


def asked(answers: Answers) -> Asked:
    """How many questions a reference was asked."""
    items = next(iter(answers.values()))["items"]
    return Asked(len(items["knowmem"]), len(items["utility"]))
