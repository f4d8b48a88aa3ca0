"""A metric of one model as its scores item by item: what is drawn again.

Items come in one group or more: prompts, questions or texts of one split; forget and holdout texts
for what tells the two apart. A group is drawn by itself. `weights` are what a draw makes of the
items: a matrix [resamples, items] for each group, whose rows sum to 1.

Intervals are those of a 95 % percentile bootstrap over seeds and items (Efron and Tibshirani 1993,
ch. 13). The items are the same for every seed: seeds and items are crossed. A draw therefore picks
items with replacement, picks seeds with replacement, and takes the same items in all picked seeds
(the pigeonhole bootstrap; Owen 2007, Annals of Applied Statistics 1(2)). To draw other items for
each seed, as one would where items are nested in seeds, would treat three seeds asked the same 32
prompts as 96 prompts, and the doubt that the choice of prompts leaves would shrink with seeds.

The draws of items depend on their number alone. Models on the same items are thus drawn together,
so that a combination of their draws is that of a paired bootstrap.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = Sequence[Floats]
RESAMPLES = 10_000
SEED = 0
LEVEL = 95.0
_ITEMS, _SEEDS = 0, 1  # streams of random numbers


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


def item_draws(statistic: Statistic) -> Floats:
    """[RESAMPLES] values of a statistic, each on items drawn with replacement."""
    return statistic.draw(item_weights(statistic.sizes))


def crossed(by_seed: Sequence[Floats]) -> Floats:
    """[RESAMPLES] means over seeds drawn with replacement.

    Args:
        by_seed: `item_draws` of each seed, [RESAMPLES], of the same items in the same draw.

    Returns:
        The draws; NaN where a seed that was picked has no number on the items drawn.
    """
    if len(by_seed) == 1:
        return by_seed[0]
    weights = _shares(len(by_seed), np.random.default_rng((SEED, _SEEDS)))
    picked = np.where(weights.T > 0, np.stack(by_seed), 0.0)
    return np.asarray((weights.T * picked).sum(axis=0))


def percentiles(draws: Floats) -> tuple[float, float]:
    """The ends of the central 95 % of the draws that have a number."""
    tail = (100.0 - LEVEL) / 2
    low, high = np.percentile(draws[~np.isnan(draws)], [tail, 100.0 - tail])
    return float(low), float(high)


@lru_cache(maxsize=8)
def item_weights(sizes: tuple[int, ...]) -> tuple[Floats, ...]:
    """[RESAMPLES, items] for each group: the share of each item in each draw of its group."""
    rng = np.random.default_rng((SEED, _ITEMS))
    return tuple(_shares(items, rng) for items in sizes)


def _shares(items: int, rng: np.random.Generator) -> Floats:
    return rng.multinomial(items, np.full(items, 1.0 / items), size=RESAMPLES) / items
