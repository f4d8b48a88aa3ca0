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
    return _percentiles(_weights(len(values), resamples, _rng()) @ np.asarray(values, np.float64))


def of_ratio(
    numerators: Sequence[float], denominators: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """Interval of sum(numerators) / sum(denominators), e.g. the NLL and tokens of each text."""
    weights = _weights(len(numerators), resamples, _rng())
    above = weights @ np.asarray(numerators, np.float64)
    return _percentiles(above / (weights @ np.asarray(denominators, np.float64)))


def of_auc(
    forget_scores: Sequence[float], holdout_scores: Sequence[float], resamples: int = RESAMPLES
) -> Interval:
    """Interval of `metrics.auc` when the forget and the holdout texts are both drawn again."""
    table = comparisons(forget_scores, holdout_scores)
    rng = _rng()
    holdout = _weights(table.shape[0], resamples, rng)
    forget = _weights(table.shape[1], resamples, rng)
    return _percentiles(np.einsum("rf,rf->r", holdout @ table, forget))


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


def _percentiles(statistics: Floats) -> Interval:
    tail = (100.0 - LEVEL) / 2
    low, high = np.percentile(statistics, [tail, 100.0 - tail])
    return float(low), float(high)
