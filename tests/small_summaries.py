"""Summaries made from scores, without the records that a real summary is made from."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import Key, Summary


def over_seeds(scores: Iterable[Score]) -> dict[Key, Summary]:
    """Average `scores` over their seeds, and the ends of their intervals likewise."""
    groups: dict[Key, list[Score]] = {}
    for score in scores:
        cell = score.cell
        key = Key(cell.corpus, cell.objective, cell.adapter, cell.precision, score.metric)
        groups.setdefault(key, []).append(score)
    return {key: _average(group) for key, group in groups.items()}


def _average(scores: Sequence[Score]) -> Summary:
    ends = [
        (score.value, score.ci_low, score.ci_high)
        for score in scores
        if score.value is not None and score.ci_low is not None and score.ci_high is not None
    ]
    diverged, undefined = (
        sum(score.absent == reason for score in scores) for reason in ("diverged", "undefined")
    )
    if not ends:
        return Summary(None, None, None, len(scores), diverged, undefined)
    value, low, high = (fmean(column) for column in zip(*ends, strict=True))
    n = max(score.n for score in scores if score.n is not None)
    return Summary(value, low, high, len(scores), diverged, undefined, n)
