"""Reversion against the coarseness of the grid: how coarse may a grid be until memory is back?"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from qunlearn.analysis.lineage import check_measurements
from qunlearn.analysis.summary import Key, read_metrics
from qunlearn.experiment.labels import precision_name
from qunlearn.experiment.names import Cell
from qunlearn.report.figures.panels import Shown, apart, counted, panels_abreast, sheet
from qunlearn.report.figures.values import REVERSION, draw_variants, scale_reversion
from qunlearn.survival.table import overall, read_survival

ROWS = {
    "reversion_nll_forget": "Reversion of\nforget NLL",
    "reversion_verbmem": "Reversion of\nVerMem",
    "reversion_knowmem": "Reversion of\nKnowMem",
}
TITLE = "How coarse may a grid be until the memory is back?"
HOW_TO_READ = (
    "Reversion: the share of the forgetting that rounding to a grid undoes "
    "(bf16: 0 by definition).\nBars: 95 % intervals; "
)
XLABEL = "relative rounding error of target's weights"
NO_PLACE = "all runs diverged, or no grid rounds target"
HEIGHT = 1.7  # inches, of a panel
NAME_GAP = 0.022  # of the figure's width, between the names of precisions
NAME_ROOM = 50  # points


def plot(metrics: Path, summary: Path, survival: Path, output: Path) -> None:
    """Draw reversion against the rounding error of the target into the folder `output`.

    A column for each corpus and objective, a row for each metric of the forget set, a line a
    variant. A value beyond [-0.5, 1.5] is a hollow marker on the edge. A variant without a number
    has a gap, and a mark at the bottom that says why. A mid-rise grid is left out: it is a control
    that has no zero, not a finer or coarser grid.

    Raises:
        InputError: `summary` holds no reversion of a variant that the figure knows, or the survival
            of a precision was not measured, or of another model.
    """
    shown = Shown.of(summary, ROWS)
    cells = [cell for cell, _ in read_metrics(metrics)]
    check_measurements(survival, cells)
    drawn = [c for c in cells if c.adapter in shown.adapters and c.precision in shown.precisions]
    errors = rounding_errors(drawn, survival)
    every = [error for own in errors.values() for error in own.values()] or [0.1]
    words = TITLE, HOW_TO_READ + counted(shown.found.values())
    with sheet(words, shown.columns, ROWS, HEIGHT, output, "reversion") as panels:
        for (column, metric), axes in panels.items():
            places = errors[column[0]]
            axes.set(xscale="log", xlim=(min(every) / 1.35, max(every) * 1.35))
            axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
            axes.xaxis.set_minor_formatter(NullFormatter())
            for error in places.values():
                axes.axvline(error, color="#ebebeb", linewidth=0.6, zorder=0)
            if places:
                draw_variants(axes, shown, Key(*column, "", "", metric), REVERSION, places)
            else:
                axes.text(0.5, 0.5, NO_PLACE, transform=axes.transAxes, ha="center", va="center")
            scale_reversion(axes, shown.found.values())
            if metric == next(iter(ROWS)):
                _name_precisions(axes, places)
            if metric == list(ROWS)[-1]:
                axes.set_xlabel(XLABEL)


def rounding_errors(cells: Iterable[Cell], survival: Path) -> dict[str, dict[str, float]]:
    """Corpus -> precision, from fine to coarse -> relative rounding error of the target.

    A precision that rounds nothing is left out, as bf16 where the target is stored in it: a
    logarithm has no place for it, and its reversion is 0.

    Raises:
        InputError: a measurement is missing or does not parse.
    """
    errors: dict[str, dict[str, float]] = {}
    for cell in dict.fromkeys(cells):
        own = errors.setdefault(cell.corpus, {})
        if cell.precision not in own:
            rows = read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv")
            if len(rows):  # all runs measured the target alike; a diverged one has none
                own[cell.precision] = overall(rows)["rounding_error"]
    return {
        corpus: {name: error for error, name in sorted((e, n) for n, e in own.items()) if error > 0}
        for corpus, own in errors.items()
    }


def _name_precisions(axes: Axes, places: dict[str, float]) -> None:
    """Write the precisions above the panel, slanted, a line from each to its error."""
    low, high = axes.get_xlim()
    feet = [math.log(error / low) / math.log(high / low) for error in places.values()]
    heads = apart(feet, NAME_GAP * panels_abreast(axes))
    look: dict[str, Any] = {
        "rotation": 45,
        "rotation_mode": "anchor",
        "va": "center",
        "fontsize": 8,
    }
    at: dict[str, Any] = {"transform": axes.transAxes}
    for precision, foot, head in zip(places, feet, heads, strict=True):
        axes.plot([foot, head], [1, 1.09], color="#bbbbbb", linewidth=0.6, clip_on=False, **at)
        name = axes.text(head, 1.09, precision_name(precision), **look, **at)
        name.set_in_layout(False)  # the title stands above, and a name may reach over a margin
    axes.set_title(axes.get_title("left"), pad=NAME_ROOM)
