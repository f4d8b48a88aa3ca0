"""A metric of one model as its scores item by item: what is drawn again.

Items come in one group or more: prompts, questions or texts of one split; forget and holdout texts
for what tells the two apart. A group is drawn by itself. `weights` are what a draw makes of the
items: a matrix [resamples, items] for each group, whose rows sum to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Groups = tuple[Floats, ...]
Weights = Sequence[Floats]


class Statistic(Protocol):
    """A number that is computed from items, and again from items drawn with replacement."""

    @property
    def ids(self) -> tuple[Any, ...]:
        """The items' names, a group after the other; only models of the same items compare."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items each group has."""

    @property
    def flat(self) -> str:
        """In words, what it means when every draw gives the same number."""

    @property
    def gap(self) -> str:
        """In words, what it means when a draw gives NaN; empty where none can."""

    def draw(self, weights: Weights) -> Floats:
        """[resamples]: the number in each draw; NaN where a draw has none."""


@dataclass(frozen=True, eq=False)
class Items:
    """The scores of one model and the formula that makes the metric of them.

    Attributes:
        ids: names of the items, a group after the other.
        groups: [fields, items] for each group.
        formula: from groups and weights to [resamples] values.
        units: from groups to [items] whose mean is the value and whose spread makes the value's
            error; None where there are two groups, so that no single spread says it.
        flat: as in `Statistic`.
        gap: as in `Statistic`.
    """

    ids: tuple[Any, ...]
    groups: Groups
    formula: Callable[[Groups, Weights], Floats]
    units: Callable[[Groups], Floats] | None
    flat: str = "all scores equal"
    gap: str = ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items each group has."""
        return tuple(group.shape[1] for group in self.groups)

    def draw(self, weights: Weights) -> Floats:
        """[resamples]: the metric in each draw; NaN where a draw has none."""
        return self.formula(self.groups, weights)


@dataclass(frozen=True, eq=False)
class Combination:
    """A number made of several statistics of the same items, which are drawn together.

    Attributes:
        parts: the statistics.
        formula: from the [resamples] of each part to those of the whole.
        flat: as in `Statistic`.
        gap: as in `Statistic`.
    """

    parts: tuple[Statistic, ...]
    formula: Callable[..., Floats]
    flat: str
    gap: str = ""

    @property
    def ids(self) -> tuple[Any, ...]:
        """The names of the items."""
        return self.parts[0].ids

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items each group has."""
        return self.parts[0].sizes

    def draw(self, weights: Weights) -> Floats:
        """[resamples]: the combination in each draw; NaN where a draw has none."""
        return self.formula(*(part.draw(weights) for part in self.parts))


def difference(first: Statistic, second: Statistic) -> Combination:
    """`first` - `second`, which may be differences themselves.

    A change between two precisions is a difference; how far the changes of two variants lie apart
    is one of two of these.
    """
    flat = "the difference is the same whichever items are drawn"
    return Combination((first, second), np.subtract, flat, first.gap or second.gap)


def value(statistic: Statistic) -> float:
    """The statistic on all items, each once."""
    return float(statistic.draw([np.full((1, n), 1.0 / n) for n in statistic.sizes])[0])


def mean(ids: Sequence[Any], scores: Sequence[float]) -> Items:
    """The mean of one score an item."""
    group = np.array([scores], np.float64)
    return Items(tuple(ids), (group,), _mean, units=lambda groups: groups[0][0])


def ratio(ids: Sequence[Any], above: Sequence[float], below: Sequence[float]) -> Items:
    """The sum of one number over the sum of another."""
    return Items(tuple(ids), (np.array([above, below], np.float64),), _ratio, units=_ratio_units)


def _mean(groups: Groups, weights: Weights) -> Floats:
    return np.asarray(weights[0] @ groups[0][0])


def _ratio(groups: Groups, weights: Weights) -> Floats:
    above, below = groups[0]
    return np.asarray((weights[0] @ above) / (weights[0] @ below))


def _ratio_units(groups: Groups) -> Floats:
    """The ratio's linearisation (the delta method): R + (above - R * below) / mean(below)."""
    above, below = groups[0]
    ratio = above.sum() / below.sum()
    return np.asarray(ratio + (above - ratio * below) / below.mean())
