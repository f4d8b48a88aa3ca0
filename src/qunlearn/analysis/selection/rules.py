"""The rules by which one candidate of a cell is chosen.

Of candidates that are equal by a rule, the one of fewer epochs wins, then the one that comes first
in the grid. A candidate of which a seed diverged is chosen by `fixed` alone; where every candidate
has such a seed, it is the one with the fewest, and the cell is `diverged` in the tables.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import hypot
from typing import NamedTuple

from qunlearn.analysis.selection.candidates import Candidate, Scores


@dataclass(frozen=True)
class Choice:
    """What a rule chose.

    Attributes:
        candidate: the chosen one.
        reason: why: what can stand behind "it is".
        caveat: what the tables must say of it besides; empty if nothing.
    """

    candidate: Candidate
    reason: str
    caveat: str = ""


class _Able(NamedTuple):
    """A candidate of which no seed diverged."""

    candidate: Candidate
    scores: Scores


def muse(candidates: Sequence[Candidate], retrain_knowmem: float) -> Choice:
    """MUSE's rule (Shi et al. 2024, arXiv 2407.06460) for a checkpoint, carried over to a grid.

    Of each training the first snapshot whose forget KnowMem is at or below retrain's on the same
    questions; of these snapshots the one with the highest Utility. Where there is none: the
    candidate with the lowest forget KnowMem.
    """
    able = _able(candidates)
    if not able:
        return _least_diverged(candidates)
    first: dict[str, _Able] = {}
    for own in able:
        if own.scores.knowmem <= retrain_knowmem:
            first.setdefault(own.candidate.point, own)
    if first:
        chosen = _lowest(list(first.values()), lambda scores: -scores.utility)
        trainings = len({candidate.point for candidate in candidates})
        return Choice(
            chosen.candidate,
            "the first snapshot of its training whose forget KnowMem, "
            f"{chosen.scores.knowmem:.1f}, is at or below retrain's, {retrain_knowmem:.1f}; "
            f"{len(first)} of {trainings} trainings have such a snapshot, and its Utility, "
            f"{chosen.scores.utility:.1f}, is the highest of theirs",
        )
    chosen = _lowest(able, lambda scores: scores.knowmem)
    missed = (
        f"no candidate's forget KnowMem is at or below retrain's, {retrain_knowmem:.1f}; "
        f"this one's, {chosen.scores.knowmem:.1f}, is the lowest"
    )
    return Choice(chosen.candidate, f"the candidate that forgot most: {missed}", missed)


def pareto(candidates: Sequence[Candidate], target_utility: float) -> Choice:
    """Of the front, the candidate nearest to forget KnowMem 0 at target's Utility.

    The distance is Euclid's in the plane of both scores; a Utility above target's counts as
    target's, for it is no fault.
    """
    able = _able(candidates)
    if not able:
        return _least_diverged(candidates)
    best = front(candidates)
    chosen = _lowest(
        [own for own in able if own.candidate.name in best],
        lambda scores: hypot(scores.knowmem, max(0.0, target_utility - scores.utility)),
    )
    return Choice(
        chosen.candidate,
        f"of the {len(best)} candidates that no other beats in forget KnowMem and Utility both, "
        f"the nearest to forget KnowMem 0 at target's Utility, {target_utility:.1f}: it has "
        f"{chosen.scores.knowmem:.1f} and {chosen.scores.utility:.1f}",
    )


def fixed(candidates: Sequence[Candidate], name: str) -> Choice:
    """The candidate of that name, be it good or bad."""
    chosen = next(candidate for candidate in candidates if candidate.name == name)
    return Choice(chosen, "as selection.fixed says")


def front(candidates: Sequence[Candidate]) -> set[str]:
    """The names of the candidates that no other beats in forget KnowMem and Utility.

    To beat is to be worse in neither (KnowMem low, Utility high) and better in one.
    """
    able = _able(candidates)
    return {
        own.candidate.name
        for own in able
        if not any(_beats(other.scores, own.scores) for other in able)
    }


def _able(candidates: Sequence[Candidate]) -> list[_Able]:
    return [
        _Able(candidate, candidate.scores)
        for candidate in candidates
        if candidate.scores is not None and not candidate.diverged
    ]


def _beats(one: Scores, other: Scores) -> bool:
    return (
        one.knowmem <= other.knowmem
        and one.utility >= other.utility
        and (one.knowmem, one.utility) != (other.knowmem, other.utility)
    )


def _lowest(able: Sequence[_Able], measure: Callable[[Scores], float]) -> _Able:
    # min() keeps to the first of equals, and they are in the order of the grid.
    return min(able, key=lambda own: (measure(own.scores), own.candidate.epochs))


def _least_diverged(candidates: Sequence[Candidate]) -> Choice:
    chosen = min(candidates, key=lambda candidate: candidate.diverged)
    return Choice(
        chosen, "every candidate has a diverged seed, and none has fewer of them", "all diverged"
    )
