"""Reversion against the coarseness of the grid: how coarse may a grid be until memory is back?"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter

from qunlearn.analysis.lineage import check_measurements
from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import Key
from qunlearn.experiment.labels import LINES, adapter_name, precision_name
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.panels import Shown, Summaries, apart, counted, panels_abreast, sheet
from qunlearn.report.figures.readings import read_scores
from qunlearn.report.figures.reversion_axis import LIMITS, scale
from qunlearn.report.figures.values import aside, draw_values
from qunlearn.survival.table import overall, read_survival

FILE = "reversion"
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
        InputError: `metrics` holds no reversion of a variant that the figure knows, or the survival
            of a precision was not measured, or of another model.
    """
    scores, found = read_scores(metrics, summary)
    check_measurements(survival, (score.cell for score in scores))
    cells = [
        score.cell
        for score in scores
        if score.metric in ROWS
        and score.cell.adapter in LINES
        and not Precision.parse(score.cell.precision).midrise
    ]
    shown, errors = Shown.of(cells), rounding_errors(cells, survival)
    every = [error for own in errors.values() for error in own.values()] or [0.1]
    reversions = [own for key, own in found.items() if key.metric in ROWS]
    words = TITLE, HOW_TO_READ + counted(reversions)
    with sheet(words, shown.columns, ROWS, HEIGHT, output, FILE, XLABEL) as drawn:
        for (column, metric), axes in drawn.items():
            axes.set(xscale="log", xlim=(min(every) / 1.35, max(every) * 1.35))
            axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
            axes.xaxis.set_minor_formatter(NullFormatter())
            _draw_panel(axes, found, shown, errors[column[0]], Key(*column, "", "", metric))
            scale(axes, reversions)
            if metric == next(iter(ROWS)):
                _name_precisions(axes, errors[column[0]])


def rounding_errors(cells: Sequence[Cell], survival: Path) -> dict[str, dict[str, float]]:
    """Corpus -> precision, from fine to coarse -> relative rounding error of the target.

    A precision that rounds nothing is left out, as bf16 where the target is stored in it: a
    logarithm has no place for it, and its reversion is 0.

    Raises:
        InputError: a measurement is missing or does not parse.
    """
    errors: dict[str, dict[str, float]] = {cell.corpus: {} for cell in cells}
    for cell in dict.fromkeys(cells):
        own = errors[cell.corpus]
        if cell.precision not in own:
            rows = read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv")
            if rows:  # all runs measured the target alike, but for a diverged one, which has none
                own[cell.precision] = overall(rows)["rounding_error"] or 0.0
    return {
        corpus: {name: error for error, name in sorted((e, n) for n, e in own.items()) if error}
        for corpus, own in errors.items()
    }


def _draw_panel(
    axes: Axes, summaries: Summaries, shown: Shown, places: dict[str, float], key: Key
) -> None:
    for error in places.values():
        axes.axvline(error, color="#ebebeb", linewidth=0.6, zorder=0)
    if not places:
        axes.text(0.5, 0.5, NO_PLACE, transform=axes.transAxes, ha="center", va="center")
    for index, adapter in enumerate(shown.adapters):
        keys = {x: key._replace(adapter=adapter, precision=p) for p, x in places.items()}
        own = {x: summaries[k] for x, k in keys.items() if k in summaries}
        moved = aside(axes, index, len(shown.adapters))
        name = adapter_name(adapter)
        draw_values(axes, list(own), list(own.values()), LINES[adapter], name, LIMITS, moved)


def _name_precisions(axes: Axes, places: dict[str, float]) -> None:
    """Write the precisions above the panel, slanted, a line from each to its error."""
    low, high = axes.get_xlim()
    gap = NAME_GAP * panels_abreast(axes)
    feet = [math.log(error / low) / math.log(high / low) for error in places.values()]
    line: dict[str, Any] = {"color": "#bbbbbb", "linewidth": 0.6, "clip_on": False}
    slanted: dict[str, Any] = {"rotation": 45, "rotation_mode": "anchor", "va": "center"}
    for precision, foot, head in zip(places, feet, apart(feet, gap), strict=True):
        axes.plot([foot, head], [1, 1.09], transform=axes.transAxes, **line)
        name = axes.text(head, 1.09, precision_name(precision), transform=axes.transAxes)
        name.set(fontsize=8, **slanted)
        name.set_in_layout(False)  # the title stands above, and a name may reach over a margin
    axes.set_title(axes.get_title("left"), pad=NAME_ROOM)
