"""Paired permutation tests, and Holm's correction for having made many of them.

Under the hypothesis that two models do alike, it is chance which of the two gave which of an item's
two answers. A test swaps the models' answers item by item, computes both metrics again and counts
how often their difference is at least as far from 0 as the observed one. For a mean this is the
test by sign flips of the paired differences; for a ratio or an AUC it is the same idea where no
single difference belongs to an item (Good 2005, Permutation, Parametric and Bootstrap Tests).

An item is one unit: its answers are swapped in all seeds together. The test says whether other
items would show the difference with these runs; it does not know of other seeds.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from qunlearn.evidence.bootstrap import ROUNDING
from qunlearn.evidence.items import Floats, Items

DRAWS = 10_000
SMALLEST = 1 / (DRAWS + 1)  # the p of a difference that no drawn swap reaches
SEED = 0

Side = Literal["two-sided", "greater", "less"]


def paired_p(
    first: Sequence[Items],
    second: Sequence[Items],
    side: Side = "two-sided",
    draws: int = DRAWS,
) -> float:
    """The p of `first` - `second` being 0, on average over the seeds.

    Exact where there are at most `draws` ways to swap; else that many are drawn, and the observed
    one counts as one of them, so that p is never 0 (Phipson and Smyth 2010).

    Args:
        first: one model's scores in each seed, all of the same items.
        second: the other's, of the same seeds and items.
        side: which differences speak against the hypothesis: those on both sides of 0, those above
            or those below.
        draws: how many swaps are drawn at most; 1 in so many is the smallest p.
    """
    sizes = first[0].sizes
    pairs = list(zip(first, second, strict=True))
    weights = swap_weights(sizes, draws)
    swapped = np.mean(
        [a.joined(b).draw(weights) - b.joined(a).draw(weights) for a, b in pairs], axis=0
    )
    observed = swapped[0]  # swaps nothing
    if side == "two-sided":
        swapped, observed = np.abs(swapped), np.abs(observed)
    elif side == "less":
        swapped, observed = -swapped, -observed
    margin = ROUNDING * np.max(np.abs(swapped))
    # With the observed one among them, as in either case it is.
    return float(np.mean(swapped >= observed - margin))


@lru_cache(maxsize=8)
def swap_weights(sizes: tuple[int, ...], draws: int = DRAWS) -> tuple[Floats, ...]:
    """[swaps, 2 * items] for each group: which of an item's two copies counts, the first swap none.

    All swaps of the groups' items where there are at most `draws`, else so many drawn ones besides
    the first.
    """
    swapped = _swaps(sum(sizes), draws)
    groups = np.split(swapped, np.cumsum(sizes)[:-1], axis=1)
    return tuple(np.concatenate([~group, group], axis=1) / group.shape[1] for group in groups)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979), in their order.

    Below alpha, each rejects its hypothesis with a chance of at most alpha that any true one of all
    is rejected.
    """
    order = np.argsort(p_values, kind="stable")
    corrected = np.array(p_values, np.float64)
    corrected[order] *= np.arange(len(p_values), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(corrected[order]), 1.0)
    return [float(p) for p in corrected]


def _swaps(items: int, draws: int) -> NDArray[np.bool_]:
    """[swaps, items]: whether an item's answers are swapped."""
    if 2**items <= draws:
        return np.asarray((np.arange(2**items)[:, None] >> np.arange(items) & 1) == 1)
    drawn = np.random.default_rng(SEED).integers(0, 2, size=(draws, items), dtype=np.int8)
    return np.concatenate([np.zeros((1, items), bool), drawn.astype(bool)])
