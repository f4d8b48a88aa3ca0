"""Choosing one candidate of a grid: the candidates, the rules, and the choice as it is written.

A candidate is a point of a grid at a number of epochs. Of candidates that are equal by a rule, the
one of fewer epochs wins, then the one that comes first in the grid. A candidate of which a seed
diverged is chosen by `fixed` alone; where every candidate has such a seed, it is the one with the
fewest, and the cell is `diverged` in the tables.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json

Rule = Literal["muse", "pareto", "fixed"]
Questions = Literal["split", "test"]
Answers = Mapping[str, Any]
"""Name of a model -> what `questions.ask` found of it."""
SCORES = ("knowmem", "utility", "nll_forget")
"""Means over seeds: KnowMem and Utility on a scale of 100, forget NLL in nats a token."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen for a cell, and among what.

    Attributes:
        rule: by which.
        questions: `split`: on questions that the tables leave out; `test`: on the tables' own.
        asked: how many on `forget` and on `retain` are behind each score.
        target, retrain: the references' SCORES on the same questions.
        candidates: as of `gather`.
        chosen: name of the chosen one.
        reason: why, as a phrase that can follow "it is".
        caveat: what the tables must say of it besides; empty if nothing.
    """

    corpus: str
    objective: str
    adapter: str
    rule: Rule
    questions: Questions
    asked: Mapping[str, int]
    target: Mapping[str, float]
    retrain: Mapping[str, float]
    candidates: pd.DataFrame
    chosen: str
    reason: str
    caveat: str


def gather(points: Sequence[str], answers: Mapping[str, Sequence[Answers]]) -> pd.DataFrame:
    """The candidates of a cell, point by point in the order given, each by its epochs.

    Args:
        answers: point -> of each seed what its snapshots answered, in the order of their epochs.

    Returns:
        A row a candidate: `name` (`<point>/<epoch>`), `point`, `epochs`, SCORES over the seeds that
        did not diverge (NaN where all did), `seeds`, how many of them `diverged`, and whether it is
        on the `front`: no other beats it in forget KnowMem and Utility. To beat is to be worse in
        neither (KnowMem low, Utility high) and better in one; who has a diverged seed does neither.
    """
    groups = pd.DataFrame(
        {"name": f"{point}/{epoch}", "point": point, "epochs": float(epoch.removeprefix("epoch"))}
        | {score: model.get(score, np.nan) for score in SCORES}
        | {"diverged": model["status"] != "ok"}
        for point in points
        for seed in answers[point]
        for epoch, model in seed.items()
    ).groupby(["name", "point", "epochs"], sort=False)
    found = groups[list(SCORES)].mean().round(6)
    found = found.assign(seeds=groups.size(), diverged=groups["diverged"].sum()).reset_index()
    x, y = found["knowmem"].to_numpy(), found["utility"].to_numpy()
    able = found["diverged"].to_numpy() == 0
    better = (x <= x[:, None]) & (y >= y[:, None]) & ((x < x[:, None]) | (y > y[:, None]))
    return found.assign(front=able & ~(better & able).any(axis=1))


def reference(name: str, answers: Iterable[Answers]) -> dict[str, float]:
    """The SCORES of target or retrain, from a file of answers a seed; none may have diverged."""
    models = [model for found in answers for model in found.values()]
    if any(model["status"] != "ok" for model in models):
        raise InputError(
            f"{name} diverged: no candidate can be compared with it; change its settings"
        )
    means = pd.DataFrame(models)[[*SCORES]].mean().round(6)
    return dict(zip(SCORES, means.tolist(), strict=True))


def choose(
    cell: str,
    rule: Rule,
    questions: Questions,
    named: str,
    asked: Mapping[str, int],
    target: Mapping[str, float],
    retrain: Mapping[str, float],
    candidates: pd.DataFrame,
) -> Selection:
    """Choose by a rule.

    * `muse` (Shi et al. 2024, arXiv 2407.06460; theirs for a checkpoint, carried over to a grid):
      of each training the first snapshot whose forget KnowMem is at or below retrain's on the same
      questions; of these snapshots the one with the highest Utility. Where there is none: the
      candidate with the lowest forget KnowMem.
    * `pareto`: of the front, the candidate nearest to forget KnowMem 0 at target's Utility, by
      Euclid's distance; a Utility above target's counts as target's, for it is no fault.
    * `fixed`: the candidate that the configuration names.

    Args:
        cell: `<corpus>/<objective>/<adapter>`.
        named: the candidate that the rule `fixed` takes.

    Raises:
        InputError: the rule is `fixed`, and no candidate has that name.
    """
    able, caveat = candidates[candidates["diverged"] == 0], ""
    if rule == "fixed":
        if named not in (names := list(candidates["name"])):
            raise InputError(
                f"'{named}' is not a candidate of {cell}; use one of: {', '.join(names)}"
            )
        chosen, reason = named, "as selection.fixed says"
    elif able.empty:
        chosen = _first(candidates.assign(epochs=0), candidates["diverged"]).name
        reason = "every candidate has a diverged seed, and none has fewer of them"
        caveat = "all diverged"
    elif rule == "muse":
        chosen, reason, caveat = _muse(able, retrain["knowmem"])
    else:
        chosen, reason = _pareto(able[able["front"]], target["utility"])
    corpus, objective, adapter = cell.split("/")
    settings = corpus, objective, adapter, rule, questions, asked, target, retrain
    return Selection(*settings, candidates, chosen, reason, caveat)


def _pareto(front: pd.DataFrame, useful: float) -> tuple[str, str]:
    """Name and reason by the distance from the ideal, where target's Utility is `useful`."""
    far = np.hypot(front["knowmem"], (useful - front["utility"]).clip(lower=0))
    best = _first(front, far)
    return best.name, (
        f"of the {len(front)} candidates that no other beats in forget KnowMem and Utility both, "
        f"the nearest to forget KnowMem 0 at target's Utility, {useful:.1f}: it has "
        f"{best.knowmem:.1f} and {best.utility:.1f}"
    )


def _muse(able: pd.DataFrame, known: float) -> tuple[str, str, str]:
    """Name, reason and caveat by MUSE's rule, where retrain's KnowMem is `known`."""
    reached = able[able["knowmem"] <= known].drop_duplicates("point")
    if reached.empty:
        best = _first(able, able["knowmem"])
        missed = (
            f"no candidate's forget KnowMem is at or below retrain's, {known:.1f}; "
            f"this one's, {best.knowmem:.1f}, is the lowest"
        )
        return best.name, f"the candidate that forgot most: {missed}", missed
    best = _first(reached, -reached["utility"])
    reason = (
        f"the first snapshot of its training whose forget KnowMem, {best.knowmem:.1f}, is at or "
        f"below retrain's, {known:.1f}; {len(reached)} of {able['point'].nunique()} trainings "
        f"have such a snapshot, and its Utility, {best.utility:.1f}, is the highest of theirs"
    )
    return best.name, reason, ""


def _first(candidates: pd.DataFrame, measure: Any) -> Any:
    """The one with the lowest measure, of equals the one of fewest epochs, then the first."""
    ranked = candidates.assign(measure=measure).sort_values(["measure", "epochs"], kind="stable")
    return next(ranked.itertuples(index=False, name="Candidate"))


def write(path: Path, selection: Selection) -> None:
    """Write a choice as JSON."""
    rows = selection.candidates.astype(object).where(selection.candidates.notna(), None)
    write_json(path, vars(selection) | {"candidates": rows.to_dict("records")})


def read(path: Path) -> Selection:
    """Read a choice; an InputError where the file is missing."""
    found = read_json(path)
    candidates = pd.DataFrame(found["candidates"]).astype(dict.fromkeys(SCORES, float))
    return Selection(**found | {"candidates": candidates})


def link_folder(source: Path, folder: Path) -> None:
    """Fill `folder` with hard links to the files of `source`, or copies where links fail."""

    def link_or_copy(own: str, copy: str) -> None:
        try:
            os.link(own, copy)
        except OSError:
            shutil.copy2(own, copy)

    if not source.is_dir():
        raise InputError(f"{source}: the chosen candidate is missing; train the grid again")
    shutil.copytree(source, folder, copy_function=link_or_copy, dirs_exist_ok=True)
