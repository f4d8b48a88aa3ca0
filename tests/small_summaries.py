"""Scores of eight cells that are small enough to check by hand, and summaries made from scores."""

from collections.abc import Iterable, Sequence
from statistics import fmean

from qunlearn.analysis.metrics import METRICS, Cell, Score
from qunlearn.analysis.summary import Key, Summary

CELLS = [
    f"news/{model}/{precision}"
    for model in ("target", "retrain", "npo_gdr/full/seed0", "npo_gdr/lora/seed0")
    for precision in ("bf16", "rtn3g64")
]


def cell_scores() -> list[Score]:
    """Of cell 0 the metrics 0, 1, …, of cell 1 10, 11, …; the last cell diverged."""
    found = []
    for name in CELLS:
        for i, metric in enumerate(METRICS):
            x = 10.0 * CELLS.index(name) + i
            numbers = (x, x - 1.25, x + 2.75, 30 + i) if name != CELLS[-1] else ()
            own = "" if numbers else "diverged"
            found.append(Score("mini", Cell.parse(name), metric, *numbers, absent=own))
    return found


def over_seeds(scores: Iterable[Score]) -> dict[Key, Summary]:
    """Average `scores` over their seeds, and the ends of their intervals likewise."""
    groups: dict[Key, list[Score]] = {}
    for score in scores:
        groups.setdefault(Key.of(score.cell, score.metric), []).append(score)
    return {key: _average(group) for key, group in groups.items()}


def _average(scores: Sequence[Score]) -> Summary:
    ends = [
        (score.value, score.ci_low, score.ci_high)
        for score in scores
        if score.value is not None and score.ci_low is not None and score.ci_high is not None
    ]
    words = [score.absent for score in scores]
    counts = len(scores), words.count("diverged"), words.count("undefined")
    if not ends:
        return Summary(None, None, None, *counts)
    value, low, high = (fmean(column) for column in zip(*ends, strict=True))
    n = max(score.n for score in scores if score.n is not None)
    return Summary(value, low, high, *counts, n)
