"""95 % bootstrap percentile intervals over items.

They say how far a number would move with other prompts, questions and texts of the same kind, for
this one model; they know nothing of training seeds.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from qunlearn.evaluate.metrics import comparisons, privleak

Floats = NDArray[np.float64]
Interval = tuple[float, float]

RESAMPLES = 2000
SEED = 0
LEVEL = 95.0


def of_mean(values: Sequence[float], resamples: int = RESAMPLES) -> Interval:
    """Interval of the mean of one value an item."""
    return percentiles(mean_draws(values, resamples))


def of_ratio(
    numerators: Sequence[float], denominators: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """Interval of sum(numerators) / sum(denominators), e.g. the NLL and tokens of each text."""
    return percentiles(ratio_draws(numerators, denominators, resamples))


def of_auc(
    forget_scores: Sequence[float], holdout_scores: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """Interval of `metrics.auc` when the forget and the holdout texts are both drawn again."""
    return percentiles(auc_draws(forget_scores, holdout_scores, resamples))


def mean_draws(values: Sequence[float], resamples: int = RESAMPLES) -> Floats:
    """[resamples] means, each over items drawn with replacement.

    As in all of these functions the draws depend on the number of items alone: the values of two
    models on the same items are drawn together, so that a difference or a ratio of what the two
    calls return is that of a paired bootstrap.
    """
    return _weights(len(values), resamples, _rng()) @ np.asarray(values, np.float64)


def ratio_draws(
    numerators: Sequence[float], denominators: Sequence[float], resamples: int = RESAMPLES
) -> Floats:
    """[resamples] of sum(numerators) / sum(denominators)."""
    weights = _weights(len(numerators), resamples, _rng())
    above = weights @ np.asarray(numerators, np.float64)
    return above / (weights @ np.asarray(denominators, np.float64))


def auc_draws(
    forget_scores: Sequence[float], holdout_scores: Sequence[float], resamples: int = RESAMPLES
) -> Floats:
    """[resamples] of `metrics.auc`; forget and holdout texts are drawn separately."""
    table = comparisons(forget_scores, holdout_scores)
    rng = _rng()
    holdout = _weights(table.shape[0], resamples, rng)
    forget = _weights(table.shape[1], resamples, rng)
    return np.asarray(np.einsum("rf,rf->r", holdout @ table, forget))


def percentiles(statistics: Floats) -> Interval:
    """The ends of the central 95 % of a statistic's draws."""
    tail = (100.0 - LEVEL) / 2
    low, high = np.percentile(statistics, [tail, 100.0 - tail])
    return float(low), float(high)


def of_privleak(auc_interval: Interval, retrain_auc: float) -> Interval:
    """Interval of `metrics.privleak` from that of the AUC.

    The retrained model's AUC is taken as known: its own uncertainty is not in the interval, which
    is therefore one of the AUC on PrivLeak's scale.
    """
    low, high = auc_interval
    return privleak(low, retrain_auc), privleak(high, retrain_auc)


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


def _weights(items: int, resamples: int, rng: np.random.Generator) -> Floats:
    """[resamples, items]: the share of each item in each draw with replacement."""
    return rng.multinomial(items, np.full(items, 1.0 / items), size=resamples) / items
