"""Scores of eight cells that are small enough to check by hand, and summaries made from scores."""

import re

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


def by_key(scores: Scores) -> dict[Key, Summary]:
    """As if each had one seed; of several the last one."""
    return {Key.of(cell, metric): own for (cell, metric), own in scores.items()}


def unpadded(text: str) -> str:
    """A Markdown table without the spaces that line up its columns: `| a   |` -> `| a |`."""
    return re.sub(r" +", " ", text)
