"""The rules by which one candidate of a cell is chosen.

Of candidates that are equal by a rule, the one of fewer epochs wins, then the one that comes first
in the grid. A candidate of which a seed diverged is chosen by `fixed` alone; where every candidate
has such a seed, it is the one with the fewest, and the cell is `diverged` in the tables.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot

from qunlearn.analysis.selection.scores import Candidate, Scores

Able = Mapping[Candidate, Scores]
"""The candidates of which no seed diverged, in the order of the grid."""


@dataclass(frozen=True)
class Choice:
    """What a rule chose.

    Attributes:
        candidate: the chosen one.
        reason: why, as a phrase that can follow "it is".
        caveat: what the tables must say of it besides; empty if nothing.
    """

    candidate: Candidate
    reason: str
    caveat: str = ""


def muse(candidates: Sequence[Candidate], retrain_knowmem: float) -> Choice:
    """MUSE's rule (Shi et al. 2024, arXiv 2407.06460) for a checkpoint, carried over to a grid.

    Of each training the first snapshot whose forget KnowMem is at or below retrain's on the same
    questions; of these snapshots the one with the highest Utility. Where there is none: the
    candidate with the lowest forget KnowMem.
    """
    able = _able(candidates)
    if not able:
        return _least_diverged(candidates)
    first: dict[str, Candidate] = {}
    for own, scores in able.items():
        if scores.knowmem <= retrain_knowmem:
            first.setdefault(own.point, own)
    if first:
        reached = {own: able[own] for own in first.values()}
        chosen = _lowest(reached, lambda scores: -scores.utility)
        trainings = len({candidate.point for candidate in candidates})
        return Choice(
            chosen,
            "the first snapshot of its training whose forget KnowMem, "
            f"{able[chosen].knowmem:.1f}, is at or below retrain's, {retrain_knowmem:.1f}; "
            f"{len(first)} of {trainings} trainings have such a snapshot, and its Utility, "
            f"{able[chosen].utility:.1f}, is the highest of theirs",
        )
    chosen = _lowest(able, lambda scores: scores.knowmem)
    missed = (
        f"no candidate's forget KnowMem is at or below retrain's, {retrain_knowmem:.1f}; "
        f"this one's, {able[chosen].knowmem:.1f}, is the lowest"
    )
    return Choice(chosen, f"the candidate that forgot most: {missed}", missed)


def pareto(candidates: Sequence[Candidate], target_utility: float) -> Choice:
    """Of the front, the candidate nearest to forget KnowMem 0 at target's Utility.

    The distance is Euclid's in the plane of both scores; a Utility above target's counts as
    target's, for it is no fault.
    """
    able = _able(candidates)
    if not able:
        return _least_diverged(candidates)
    names = front(candidates)
    best = {own: scores for own, scores in able.items() if own.name in names}
    chosen = _lowest(
        best, lambda scores: hypot(scores.knowmem, max(0.0, target_utility - scores.utility))
    )
    return Choice(
        chosen,
        f"of the {len(best)} candidates that no other beats in forget KnowMem and Utility both, "
        f"the nearest to forget KnowMem 0 at target's Utility, {target_utility:.1f}: it has "
        f"{able[chosen].knowmem:.1f} and {able[chosen].utility:.1f}",
    )


def fixed(candidates: Sequence[Candidate], name: str) -> Choice:
    """The candidate of that name, be it good or bad."""
    chosen = next(candidate for candidate in candidates if candidate.name == name)
    return Choice(chosen, "as selection.fixed says")


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


def _able(candidates: Sequence[Candidate]) -> Able:
    return {own: own.scores for own in candidates if own.scores is not None and not own.diverged}


def _lowest(able: Able, measure: Callable[[Scores], float]) -> Candidate:
    # min() keeps to the first of equals, and they are in the order of the grid.
    return min(able, key=lambda own: (measure(able[own]), own.epochs))


def _least_diverged(candidates: Sequence[Candidate]) -> Choice:
    chosen = min(candidates, key=lambda candidate: candidate.diverged)
    return Choice(
        chosen, "every candidate has a diverged seed, and none has fewer of them", "all diverged"
    )
