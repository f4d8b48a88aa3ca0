"""A cell's choice as it is written and read: the chosen candidate, why, and all the others."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from qunlearn.analysis.selection import rules
from qunlearn.analysis.selection.scores import Asked, Candidate, Scores
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
    if rule == "fixed" and named not in names:
        raise InputError(f"'{named}' is no candidate of {cell}; use one of: {', '.join(names)}")
    match rule:
        case "muse":
            choice = rules.muse(candidates, retrain.knowmem)
        case "pareto":
            choice = rules.pareto(candidates, target.utility)
        case "fixed":
            choice = rules.fixed(candidates, named)
    corpus, objective, adapter = cell.split("/")
    settings = corpus, objective, adapter, rule, questions, asked, target, retrain
    end = choice.candidate.name, choice.reason, choice.caveat
    return Selection(*settings, tuple(candidates), *end)


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
        found["asked"] = Asked(**found["asked"])
        for name in ("target", "retrain"):
            found[name] = Scores(**found[name])
        for own in found["candidates"]:
            own["scores"] = own["scores"] and Scores(**own["scores"])
        found["candidates"] = tuple(Candidate(**own) for own in found["candidates"])
        return Selection(**found)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: no choice of a candidate ({error}); select again") from error
