"""A metric of one model as its scores item by item: what is drawn again.

Items come in one group or more: prompts, questions or texts of one split; forget and holdout texts
for what tells the two apart. A group is drawn by itself. `weights` are what a draw makes of the
items: a matrix [resamples, items] for each group, whose rows sum to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Sequence[Floats]


@dataclass(frozen=True, eq=False)
class Statistic:
    """A number that is computed from items, and again from items drawn with replacement.

    Attributes:
        ids: names of the items, a group after the other; only models of the same items compare.
        sizes: how many items each group has.
        draw: from weights to the [resamples] values; NaN where a draw has none.
        flat: in words, what it means when every draw gives the same number.
        gap: in words, what it means when a draw gives NaN; empty where none can.
        units: [items] whose mean is the value and whose spread makes the value's error; None where
            no single spread says it: of two groups of items, or of several statistics.
    """

    ids: tuple[Any, ...]
    sizes: tuple[int, ...]
    draw: Callable[[Weights], Floats]
    flat: str = "all scores equal"
    gap: str = ""
    units: Floats | None = None


def mean(ids: Sequence[Any], scores: Sequence[float]) -> Statistic:
    """The mean of one score an item."""
    units = np.array(scores, np.float64)
    return Statistic(tuple(ids), (len(units),), lambda weights: weights[0] @ units, units=units)


def ratio(ids: Sequence[Any], above: Sequence[float], below: Sequence[float]) -> Statistic:
    """The sum of one number over the sum of another."""
    a, b = np.array([above, below], np.float64)

    def draw(weights: Weights) -> Floats:
        return np.asarray((weights[0] @ a) / (weights[0] @ b))

    # The ratio's linearisation (the delta method).
    units = np.asarray(a.sum() / b.sum() + (a - a.sum() / b.sum() * b) / b.mean())
    return Statistic(tuple(ids), (len(a),), draw, units=units)


def combine(
    parts: Sequence[Statistic], formula: Callable[..., Floats], flat: str, gap: str = ""
) -> Statistic:
    """A number made of several statistics of the same items, which are drawn together.

    Args:
        parts: the statistics.
        formula: from the [resamples] of each part to those of the whole.
        flat, gap: as in `Statistic`.
    """

    def draw(weights: Weights) -> Floats:
        return formula(*(part.draw(weights) for part in parts))

    return Statistic(parts[0].ids, parts[0].sizes, draw, flat, gap)


def difference(first: Statistic, second: Statistic) -> Statistic:
    """`first` - `second`, which may be differences themselves.

    A change between two precisions is a difference; how far the changes of two variants lie apart
    is one of two of these.
    """
    flat = "the difference is the same whichever items are drawn"
    return combine((first, second), np.subtract, flat, first.gap or second.gap)


def value(statistic: Statistic) -> float:
    """The statistic on all items, each once."""
    return float(statistic.draw([np.full((1, n), 1.0 / n) for n in statistic.sizes])[0])
