"""How large a paired difference is, and how large one must be for this many items to show it."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from qunlearn.evidence.bootstrap import ROUNDING, item_draws
from qunlearn.evidence.items import Floats, Items, difference

ALPHA = 0.05
POWER = 0.8
# 1.96 + 0.8416: a true difference of this many standard errors is found with that power.
_DETECTED = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)


def paired_units(first: Sequence[Items], second: Sequence[Items]) -> Floats | None:
    """[items] paired differences, averaged over the seeds; None of metrics without such.

    Args:
        first: one model's scores in each seed.
        second: the other's, of the same seeds and items.
    """
    differences = [
        a.units(a.groups) - b.units(b.groups)
        for a, b in zip(first, second, strict=True)
        if a.units is not None and b.units is not None
    ]
    return np.asarray(np.mean(differences, axis=0)) if differences else None


def effect_dz(units: Floats) -> float | None:
    """Cohen's d_z: the mean of paired differences over their standard deviation (Cohen 1988).

    None where the differences do not vary, or there is but one.
    """
    spread = _spread(units)
    return float(units.mean()) / spread if spread else None


def minimum_effect(first: Sequence[Items], second: Sequence[Items]) -> float | None:
    """The smallest true difference that these items would show, in the metric's unit.

    With a power of 0.8 at a two-sided alpha of 0.05, by the normal approximation:
    (1.96 + 0.8416) sd / sqrt(n), from the standard deviation of the n paired differences. Where no
    such differences exist (AUC, PrivLeak) the standard error is the bootstrap's.

    None where nothing varies, so that the items say nothing of what they would show.
    """
    units = paired_units(first, second)
    if units is not None:
        spread = _spread(units)
        return _DETECTED * spread / float(np.sqrt(len(units))) if spread else None
    pairs = zip(first, second, strict=True)
    draws = np.mean([item_draws(difference(a, b)) for a, b in pairs], axis=0)
    error = _spread(draws[~np.isnan(draws)])
    return _DETECTED * error if error else None


def _spread(values: Floats) -> float:
    """The standard deviation; 0 where it is one of rounding alone."""
    if len(values) < 2:
        return 0.0
    spread = float(values.std(ddof=1))
    return spread if spread > ROUNDING * max(1.0, float(np.abs(values).max())) else 0.0
