"""Choosing one candidate of a grid: the candidates, the rule, and the choice as it is written.

A candidate is a point of a grid at a number of epochs. Of candidates that are equal by the rule,
the one of fewer epochs wins, then the one that comes first in the grid. A candidate of which a seed
diverged is never chosen; where every candidate has such a seed, it is the one with the fewest, and
the cell is `diverged` in the tables.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json

Answers = Mapping[str, Any]
"""Name of a model -> what `questions.evaluate_candidate` found of it."""
SCORES = ("knowmem", "utility", "nll_forget")
"""Means over seeds: KnowMem and Utility on a scale of 100, forget NLL in nats a token."""


@dataclass(frozen=True, eq=False)
class Selection:
    """What was chosen for a cell, and among what.

    Attributes:
        evaluated: how many questions on `forget` and on `retain` are behind each score.
        target, retrain: the references' SCORES on the same questions.
        candidates: as of `gather`.
        chosen: name of the chosen one.
        reason: why, as a phrase that can follow "it is".
        caveat: what the tables must say of it besides; empty if nothing.
    """

    corpus: str
    objective: str
    adapter: str
    evaluated: Mapping[str, int]
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
        did not diverge (NaN where all did), `seeds`, and how many of them `diverged`.
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
    return found.assign(seeds=groups.size(), diverged=groups["diverged"].sum()).reset_index()


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
    evaluated: Mapping[str, int],
    target: Mapping[str, float],
    retrain: Mapping[str, float],
    candidates: pd.DataFrame,
) -> Selection:
    """Choose by MUSE's rule for checkpoints (Shi et al. 2024, arXiv 2407.06460), applied to a grid.

    Of each training, the first snapshot whose forget KnowMem is at or below retrain's on the same
    questions; of these snapshots, the one with the highest Utility. Where there is none: the
    candidate with the lowest forget KnowMem.

    Args:
        cell: `<corpus>/<objective>/<adapter>`.
    """
    able, caveat = candidates[candidates["diverged"] == 0], ""
    if able.empty:
        chosen = _first(candidates.assign(epochs=0), candidates["diverged"]).name
        reason = "every candidate has a diverged seed, and none has fewer of them"
        caveat = "all diverged"
    else:
        chosen, reason, caveat = _muse(able, retrain["knowmem"])
    corpus, objective, adapter = cell.split("/")
    given = corpus, objective, adapter, evaluated, target, retrain
    return Selection(*given, candidates, chosen, reason, caveat)


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
