"""A cell's choice as it is written and read: the chosen candidate, why, and all the others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from qunlearn.analysis.selection import rules
from qunlearn.analysis.selection.candidates import Asked, Candidate, Scores
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json

Rule = Literal["muse", "pareto", "fixed"]
Questions = Literal["split", "test"]


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
        reason: why, what can stand behind "it is".
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
    if rule == "fixed" and named not in {candidate.name for candidate in candidates}:
        known = ", ".join(candidate.name for candidate in candidates)
        raise InputError(f"'{named}' is no candidate of {cell}; use one of: {known}")
    choice = {
        "muse": lambda: rules.muse(candidates, retrain.knowmem),
        "pareto": lambda: rules.pareto(candidates, target.utility),
        "fixed": lambda: rules.fixed(candidates, named),
    }[rule]()
    corpus, objective, adapter = cell.split("/")
    return Selection(
        corpus=corpus,
        objective=objective,
        adapter=adapter,
        rule=rule,
        questions=questions,
        asked=asked,
        target=target,
        retrain=retrain,
        candidates=tuple(candidates),
        chosen=choice.candidate.name,
        reason=choice.reason,
        caveat=choice.caveat,
    )


def write(path: Path, selection: Selection) -> None:
    """Write a choice as JSON."""
    write_json(path, asdict(selection))


def read(path: Path) -> Selection:
    """Read a choice.

    Raises:
        InputError: the file is missing or holds something else.
    """
    found = read_json(path)
    try:
        return Selection(
            **found
            | {
                "asked": Asked(**found["asked"]),
                "target": Scores(**found["target"]),
                "retrain": Scores(**found["retrain"]),
                "candidates": tuple(map(_candidate, found["candidates"])),
            }
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: no choice of a candidate ({error}); select again") from error


def _candidate(found: dict[str, Any]) -> Candidate:
    scores = found["scores"]
    return Candidate(**found | {"scores": scores and Scores(**scores)})
