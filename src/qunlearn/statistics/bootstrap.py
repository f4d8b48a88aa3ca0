"""95 % percentile bootstrap intervals over seeds and items (Efron and Tibshirani 1993, ch. 13).

The items are the same for every seed: seeds and items are crossed. A draw therefore picks items
with replacement, picks seeds with replacement, and takes the same items in all picked seeds (the
pigeonhole bootstrap; Owen 2007, Annals of Applied Statistics 1(2)). To draw other items for each
seed, as one would where items are nested in seeds, would treat three seeds asked the same 32
prompts as 96 prompts, and the doubt that the choice of prompts leaves would shrink with seeds.

The draws of items depend on their number alone. Models on the same items are thus drawn together,
so that a combination of their draws is that of a paired bootstrap.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from qunlearn.statistics.items import Floats, Statistic

RESAMPLES = 10_000
SEED = 0
LEVEL = 95.0
_ITEMS, _SEEDS = 0, 1  # streams of random numbers


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
