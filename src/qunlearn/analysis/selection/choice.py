"""Choosing one candidate of a grid: the candidates, the rules, and the choice as it is written.

Of candidates that are equal by a rule, the one of fewer epochs wins, then the one that comes first
in the grid. A candidate of which a seed diverged is chosen by `fixed` alone; where every candidate
has such a seed, it is the one with the fewest, and the cell is `diverged` in the tables.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import hypot
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json

Rule = Literal["muse", "pareto", "fixed"]
Questions = Literal["split", "test"]
Answers = Mapping[str, Any]
"""Name of a model -> what `questions.ask` found of it."""


@dataclass(frozen=True)
class Scores:
    """Means over seeds: KnowMem and Utility on a scale of 100, forget NLL in nats a token."""

    knowmem: float
    utility: float
    nll_forget: float

    @classmethod
    def mean(cls, models: Sequence[Mapping[str, Any]]) -> "Scores":
        """Of the answers of one model a seed."""
        names = ("knowmem", "utility", "nll_forget")
        return cls(*(round(fmean(model[name] for model in models), 6) for name in names))


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

    @classmethod
    def count(cls, answers: Answers) -> "Asked":
        """From the answers of a reference."""
        items = next(iter(answers.values()))["items"]
        return cls(len(items["knowmem"]), len(items["utility"]))


@dataclass(frozen=True)
class Selection:
    """What was chosen for a cell, and among what.

    Attributes:
        rule: by which.
        questions: `split`: on questions that the tables leave out; `test`: on the tables' own.
        asked: the number of questions behind each score.
        target, retrain: the references on the same questions.
        candidates: in the order of the grid, those of a point by their epochs.
        chosen: name of the chosen one.
        reason: why, as a phrase that can follow "it is".
        caveat: what the tables must say of it besides; empty if nothing.
    """

    corpus: str
    objective: str
    adapter: str
    rule: Rule
    questions: Questions
    asked: Asked
    target: Scores
    retrain: Scores
    candidates: tuple[Candidate, ...]
    chosen: str
    reason: str
    caveat: str


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


def choose(
    cell: str,
    rule: Rule,
    questions: Questions,
    named: str,
    asked: Asked,
    target: Scores,
    retrain: Scores,
    candidates: Sequence[Candidate],
) -> Selection:
    """Choose by a rule.

    Args:
        cell: `<corpus>/<objective>/<adapter>`.
        named: the candidate that the rule `fixed` takes.

    Raises:
        InputError: the rule is `fixed`, and no candidate has that name.
    """
    names = [candidate.name for candidate in candidates]
    caveat = ""
    if rule == "fixed":
        if named not in names:
            raise InputError(
                f"'{named}' is not a candidate of {cell}; use one of: {', '.join(names)}"
            )
        chosen, reason = candidates[names.index(named)], "as selection.fixed says"
    elif not (able := _able(candidates)):
        chosen = min(candidates, key=lambda candidate: candidate.diverged)
        reason = "every candidate has a diverged seed, and none has fewer of them"
        caveat = "all diverged"
    elif rule == "muse":
        chosen, reason, caveat = muse(able, retrain.knowmem)
    else:
        chosen, reason = pareto(able, target.utility)
    corpus, objective, adapter = cell.split("/")
    settings = corpus, objective, adapter, rule, questions, asked, target, retrain
    return Selection(*settings, tuple(candidates), chosen.name, reason, caveat)


def muse(able: Mapping[Candidate, Scores], retrain_knowmem: float) -> tuple[Candidate, str, str]:
    """MUSE's rule (Shi et al. 2024, arXiv 2407.06460) for a checkpoint, carried over to a grid.

    Of each training the first snapshot whose forget KnowMem is at or below retrain's on the same
    questions; of these snapshots the one with the highest Utility. Where there is none: the
    candidate with the lowest forget KnowMem.

    Args:
        able: the candidates of which no seed diverged, in the order of the grid.

    Returns:
        The chosen one, the reason and the caveat.
    """
    first: dict[str, Candidate] = {}
    for own, scores in able.items():
        if scores.knowmem <= retrain_knowmem:
            first.setdefault(own.point, own)
    if not first:
        chosen = min(able, key=lambda own: (able[own].knowmem, own.epochs))
        missed = (
            f"no candidate's forget KnowMem is at or below retrain's, {retrain_knowmem:.1f}; "
            f"this one's, {able[chosen].knowmem:.1f}, is the lowest"
        )
        return chosen, f"the candidate that forgot most: {missed}", missed
    chosen = min(first.values(), key=lambda own: (-able[own].utility, own.epochs))
    reason = (
        "the first snapshot of its training whose forget KnowMem, "
        f"{able[chosen].knowmem:.1f}, is at or below retrain's, {retrain_knowmem:.1f}; "
        f"{len(first)} of {len({own.point for own in able})} trainings have such a snapshot, and "
        f"its Utility, {able[chosen].utility:.1f}, is the highest of theirs"
    )
    return chosen, reason, ""


def pareto(able: Mapping[Candidate, Scores], target_utility: float) -> tuple[Candidate, str]:
    """Of the front, the candidate nearest to forget KnowMem 0 at target's Utility.

    The distance is Euclid's in the plane of both scores; a Utility above target's counts as
    target's, for it is no fault.

    Args:
        able: the candidates of which no seed diverged, in the order of the grid.

    Returns:
        The chosen one and the reason.
    """
    names = front(list(able))

    def distance(own: Candidate) -> tuple[float, float]:
        short = max(0.0, target_utility - able[own].utility)
        return hypot(able[own].knowmem, short), own.epochs

    chosen = min((own for own in able if own.name in names), key=distance)
    reason = (
        f"of the {len(names)} candidates that no other beats in forget KnowMem and Utility both, "
        f"the nearest to forget KnowMem 0 at target's Utility, {target_utility:.1f}: it has "
        f"{able[chosen].knowmem:.1f} and {able[chosen].utility:.1f}"
    )
    return chosen, reason


def front(candidates: Sequence[Candidate]) -> set[str]:
    """The names of the candidates that no other beats in forget KnowMem and Utility.

    To beat is to be worse in neither (KnowMem low, Utility high) and better in one.
    """
    able = {own: (scores.knowmem, -scores.utility) for own, scores in _able(candidates).items()}
    return {
        own.name
        for own, mine in able.items()
        if not any(
            theirs != mine and theirs[0] <= mine[0] and theirs[1] <= mine[1]
            for theirs in able.values()
        )
    }


def write(path: Path, selection: Selection) -> None:
    """Write a choice as JSON."""
    write_json(path, asdict(selection))


def read(path: Path) -> Selection:
    """Read a choice.

    Raises:
        InputError: the file is missing or holds something else.
    """
    try:
        return TypeAdapter(Selection).validate_python(read_json(path))
    except ValidationError as error:
        raise InputError(f"{path}: no choice of a candidate; select again") from error


def link_folder(source: Path, folder: Path) -> None:
    """Fill `folder` with hard links to the files of `source`, or copies where links fail."""
    shutil.copytree(source, folder, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)


def _able(candidates: Sequence[Candidate]) -> dict[Candidate, Scores]:
    """The candidates of which no seed diverged."""
    return {own: own.scores for own in candidates if own.scores is not None and not own.diverged}
