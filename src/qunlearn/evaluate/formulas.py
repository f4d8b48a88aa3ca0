"""The metrics as functions of texts and numbers: no model, no files.

Definitions follow MUSE (Shi et al. 2024, arXiv 2407.06460) unless said otherwise.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rouge_score.rouge_scorer import RougeScorer

Floats = NDArray[np.float64]


def rouge_l(prediction: str, reference: str, stemmer: bool) -> float:
    """ROUGE-L F1 in 0-1: the longest common subsequence of words (Lin 2004).

    Words are those of `words`: in English, lower-cased runs of a-z and 0-9; with `stemmer`, those
    of more than three letters are reduced by Porter's stemmer. 0 when either text has no word.
    """
    return float(_scorer(stemmer).score(reference, prediction)["rougeL"].fmeasure)


@cache
def _scorer(stemmer: bool) -> "RougeScorer":
    from rouge_score.rouge_scorer import RougeScorer

    from qunlearn.evaluate.words import Words

    return RougeScorer(["rougeL"], tokenizer=Words(stemmer))


def min_k(logprobs: Sequence[float] | Floats, share: float) -> float:
    """Min-K% Prob: the mean of a text's least likely tokens (Shi et al. 2024, arXiv 2310.16789).

    Of [n] log-probabilities in nats int(share * n) are averaged, at least one. The higher the mean,
    the more the text looks like training data.
    """
    lowest = np.sort(np.asarray(logprobs, dtype=np.float64))
    return float(lowest[: max(1, int(share * len(lowest)))].mean())


def comparisons(
    forget_scores: Sequence[float] | Floats, holdout_scores: Sequence[float] | Floats
) -> Floats:
    """[holdout, forget] matrix: 1 where the holdout score is higher, 1/2 where they tie, else 0."""
    forget, holdout = (np.asarray(each, np.float64) for each in (forget_scores, holdout_scores))
    return 0.5 * (np.sign(holdout[:, None] - forget[None, :]) + 1.0)


def auc(forget_scores: Sequence[float], holdout_scores: Sequence[float]) -> float:
    """Probability that a holdout text looks more like a training text than a forget text does.

    Ties count one half. In this orientation, MUSE's, a model that remembers the forget texts is
    near 0 and a model that saw neither set is near 0.5.
    """
    return float(comparisons(forget_scores, holdout_scores).mean())


def privleak(aucs: Floats, retrain_aucs: Floats) -> Floats:
    """Privacy leakage in percent: how far AUCs lie from those of the retrained model.

    0 is ideal, near -100 means that nothing was unlearned, positive means over-unlearning. NaN
    where the retrained model's is 0, so that no ratio to it exists.
    """
    scaled = np.full_like(aucs, np.nan)
    np.divide(100.0 * (aucs - retrain_aucs), retrain_aucs, out=scaled, where=retrain_aucs > 0)
    return scaled
