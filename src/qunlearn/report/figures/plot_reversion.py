"""Reversion against the coarseness of the grid: how coarse may a grid be until memory is back?"""

from pathlib import Path
from typing import Any

from qunlearn.report.figures.over_precisions import draw_over_precisions
from qunlearn.report.figures.values import read_mechanism, scores

ROWS = {
    "reversion_nll_forget": "Reversion of\nforget NLL",
    "reversion_verbmem": "Reversion of\nVerMem",
    "reversion_knowmem": "Reversion of\nKnowMem",
}
WORDS = (
    "How coarse can a grid get before the memory comes back?",
    "Reversion: the share of the forgetting that rounding to a grid undoes. Grids: from fine to "
    "coarse by the relative rounding\nerror of target's weights, given in percent. "
    "Bars: 95 % intervals; ",
)
HEIGHT = 1.45  # inches, of a panel


def plot(mechanism: Path, summary: Path, output: Path) -> None:
    """Draw the reversions over the grids, by the rounding error of the target, into `output`.

    A mid-rise grid is left out: it is a control that has no zero, not a finer or coarser grid. So
    is a precision that rounds nothing, as bf16 where the target is stored in it.

    Raises:
        InputError: a table does not parse, or `summary` holds no variant that the figure knows.
    """
    measured = read_mechanism(mechanism).groupby(["corpus", "precision"])["rounding_error"].first()
    errors: dict[Any, float] = measured.fillna(0.0).to_dict()
    found = scores(summary, ROWS)
    draw_over_precisions(found, ROWS, WORDS, HEIGHT, output, "reversion", errors)
