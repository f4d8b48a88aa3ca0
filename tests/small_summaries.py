"""Scores of eight cells that are small enough to check by hand, and summaries made from scores."""

import re
from statistics import fmean

from qunlearn.analysis.summary import Key, Scores, Summary
from qunlearn.experiment.names import METRICS, Cell

CELLS = [
    f"news/{model}/{precision}"
    for model in ("target", "retrain", "npo_gdr/full/seed0", "npo_gdr/lora/seed0")
    for precision in ("bf16", "rtn3g64")
]


def single(value: float | str, below: float = 1.0, above: float = 2.0, n: int = 32) -> Summary:
    """The number of one run with its interval, or the word for why there is none."""
    if isinstance(value, str):
        return Summary(None, None, None, 1, value == "diverged", value == "undefined")
    return Summary(value, value - below, value + above, 1, n=n)


def cell_scores() -> Scores:
    """Of cell 0 the metrics 0, 1, …, of cell 1 10, 11, …; the last cell diverged."""
    return {
        (Cell.parse(name), metric): single("diverged" if name == CELLS[-1] else x, 1.25, 2.75, n)
        for start, name in enumerate(CELLS)
        for x, n, metric in zip(range(10 * start, 90), range(30, 40), METRICS, strict=False)
    }


def over_seeds(scores: Scores) -> dict[Key, Summary]:
    """Average `scores` over their seeds, and the ends of their intervals likewise."""
    groups: dict[Key, list[Summary]] = {}
    for (cell, metric), own in scores.items():
        groups.setdefault(Key.of(cell, metric), []).append(own)
    return {key: _average(group) for key, group in groups.items()}


def _average(runs: list[Summary]) -> Summary:
    known = [own for own in runs if own.value is not None]
    counts = len(runs), sum(own.diverged for own in runs), sum(own.undefined for own in runs)
    if not known:
        return Summary(None, None, None, *counts)
    ends = (fmean(getattr(own, name) for own in known) for name in ("value", "low", "high"))
    return Summary(*ends, *counts, max(own.n for own in known if own.n is not None))


def unpadded(text: str) -> str:
    """A Markdown table without the spaces that line up its columns: `| a   |` -> `| a |`."""
    return re.sub(r" +", " ", text)
