"""Whether a difference would be found again, with other items and with other runs.

Seeds and items are crossed: every seed answers the same items. A difference that one seed shows may
be that run's own, so nothing is tested on fewer than three. The p of three or more is the larger of

* that of Student's t of the per-seed differences, S - 1 degrees of freedom (other runs, these
  items);
* that of Clark's min F' (1973, J. Verbal Learning and Verbal Behavior 12, 335-359), for which
  seeds and items are drawn: d^2 / (v_items + v_seeds), here as the t that is its root, with
  (v_items + v_seeds)^2 / (v_items^2 / (n - 1) + v_seeds^2 / (S - 1)) degrees of freedom.

v_seeds is the variance of the S per-seed differences over S; v_items that of their mean when the n
items are drawn again, times n / (n - 1). The first guards the second: a spread of three seeds is
often too small by chance, and min F' then takes it for knowledge of many degrees of freedom. Where
nothing differs but runs do, min F' alone has p < 0.001 in 1 to 2 % of cases, which Holm's
correction for a hundred tests cannot make good; together they keep to every level, at worst by a
tenth more than it (simulated: 3 and 5 seeds, 32 and 64 items, effects of seeds and of items in all
proportions).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Literal

import numpy as np

from qunlearn.statistics.items import Floats, Statistic, crossed, item_draws, percentiles, value

ALPHA = 0.05
POWER = 0.8
FEWEST_SEEDS = 3
ROUNDING = 1e-9  # what sums of the same numbers in another order may differ by, relatively
INTERVAL = NormalDist().inv_cdf(1 - ALPHA / 2)  # half a 95 % interval in standard errors
DETECTABLE = INTERVAL + NormalDist().inv_cdf(POWER)  # an effect found with that power, likewise

Side = Literal["two-sided", "greater", "less"]


def too_few(seeds: int) -> str:
    """In words, how many seeds there are where they are too few for a test; else empty."""
    return {1: "one seed", 2: "two seeds"}.get(seeds, "")


@dataclass(frozen=True)
class Estimate:
    """A number over seeds and items, and how well it is known.

    Attributes:
        value: the mean over the seeds.
        low, high: its 95 % interval over seeds and items; with one seed over items alone.
        seeds: how many.
        dropped: draws without a number, which are not in the interval.
        limits: what limits the interval, in plain words; empty where nothing does.
        errors: standard errors with their degrees of freedom, each of which must be allowed for.
            Of fewer than three seeds there is one, over the items of these runs.
    """

    value: float
    low: float
    high: float
    seeds: int
    dropped: int
    limits: tuple[str, ...]
    errors: tuple[tuple[float, float], ...]

    def p(self, side: Side = "two-sided") -> float | None:
        """Of the number being 0; None where nothing varies and yet it is not 0.

        Args:
            side: which numbers speak against 0: those on both sides, above or below it.
        """
        if not self.errors[-1][0]:
            return None if abs(self.value) > ROUNDING else 1.0
        from scipy.special import stdtr  # here, for a cluster's driver reads ALPHA without scipy

        ps = []
        for error, freedom in self.errors:
            t = self.value / error if error else math.copysign(math.inf, self.value)
            tail = {"two-sided": -abs(t), "greater": -t, "less": t}[side]
            ps.append(float(stdtr(freedom, tail)))
        return max(ps) * (2 if side == "two-sided" else 1)

    def minimum_effect(self) -> float | None:
        """The smallest true difference that is found with a power of 0.8 at a two-sided 0.05.

        (t_0.975 + t_0.8) standard errors, before any correction for the number of tests. None where
        nothing varies.
        """
        if not self.errors[-1][0]:
            return None
        from scipy.special import stdtrit

        return max(
            error * float(stdtrit(freedom, 1 - ALPHA / 2) + stdtrit(freedom, POWER))
            for error, freedom in self.errors
        )


def estimate(by_seed: Sequence[Statistic]) -> Estimate:
    """What is known of a statistic, given it in each seed, all of the same items.

    With few seeds the interval understates how far seeds differ, by about sqrt((k - 1) / k) for k
    of them, as every bootstrap of k numbers does.
    """
    first, values = by_seed[0], list(map(value, by_seed))
    of_items = [item_draws(statistic) for statistic in by_seed]
    draws, mean = crossed(of_items), fmean(values)
    dropped = int(np.isnan(draws).sum())
    limits = {
        "one seed: the interval is over items alone": len(by_seed) == 1,
        first.flat: np.nanmax(draws) - np.nanmin(draws) <= ROUNDING * max(1.0, abs(mean)),
        "n < 10": min(first.sizes) < 10,
        f"{dropped} of {len(draws)} draws dropped: {first.gap}": dropped > 0,
    }
    said = tuple(limit for limit, holds in limits.items() if holds)
    errors = _errors(values, np.mean(of_items, axis=0), min(first.sizes))
    return Estimate(mean, *percentiles(draws), len(by_seed), dropped, said, errors)


def _errors(values: list[float], draws: Floats, n: int) -> tuple[tuple[float, float], ...]:
    """Of the mean of one value a seed; `draws` are its, over `n` items."""
    mean, seeds = fmean(values), len(values)
    items = _variance(float(np.nanvar(draws)) * n / (n - 1), mean) if n > 1 else 0.0
    if seeds < FEWEST_SEEDS:
        return ((math.sqrt(items), max(n - 1, 1)),)
    runs = _variance(variance(values) / seeds, mean)
    both = items + runs if n > 1 else 0.0  # of one item there is no telling what others show
    shares = items**2 / max(n - 1, 1) + runs**2 / (seeds - 1)
    return (math.sqrt(runs), seeds - 1), (math.sqrt(both), both**2 / shares if both else 1)


def effect_dz(pairs: Sequence[tuple[Statistic, Statistic]]) -> float | None:
    """Cohen's d_z: the mean of paired differences over their standard deviation (Cohen 1988).

    The differences are averaged over the seeds, item by item. None where they do not vary, where
    there is but one, or where the metric has no score of an item (AUC, PrivLeak).

    Args:
        pairs: the two models' scores in each seed, all of the same items.
    """
    units = [a.units - b.units for a, b in pairs if a.units is not None and b.units is not None]
    if not units or len(units[0]) < 2:
        return None
    averaged = np.mean(units, axis=0)
    found = float(averaged.mean())
    spread = math.sqrt(_variance(float(averaged.var(ddof=1)), found))
    return found / spread if spread else None


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


def _variance(found: float, mean: float) -> float:
    """0 where it is one of rounding alone."""
    return found if math.sqrt(found) > ROUNDING * max(1.0, abs(mean)) else 0.0
