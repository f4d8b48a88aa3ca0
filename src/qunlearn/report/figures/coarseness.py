"""Reversion against the coarseness of the grid: how coarse may a grid be until memory is back?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import LINES, adapter_name, corpus_name, method_name, precision_name
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.house import FONT, WIDTH, head, legend, save
from qunlearn.report.figures.layout import bands, panel, spread, write
from qunlearn.report.figures.measured import matrices_file
from qunlearn.report.figures.panel import Summaries, look
from qunlearn.report.figures.reversion_axis import (
    REVERSION_MARKS,
    draw_values,
    limits,
    name_guides,
    scale,
)
from qunlearn.run.errors import InputError
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
    "(bf16: 0 by definition). Bars: 95 % intervals."
)
NO_PLACE = "all runs diverged, or no grid rounds target"
# Inches.
LEFT, RIGHT, HEAD, NAMES, PANEL_HEIGHT, GAP, TICKS = 0.8, 0.75, 1.2, 0.64, 1.25, 0.16, 0.56
NAME_GAP, LEADER, SHIFT, AXIS_NAME = 0.17, 0.13, 0.035, 0.27


@dataclass(frozen=True)
class Reversions:
    """What is drawn.

    Attributes:
        summaries: over seeds.
        errors: (corpus, precision) -> relative rounding error of the target, above 0.
        bands: rows of (corpus, objective) columns.
        adapters: the variants, in the legend's order.
    """

    summaries: Summaries
    errors: dict[tuple[str, str], float]
    bands: tuple[tuple[tuple[str, str], ...], ...]
    adapters: tuple[str, ...]

    def limits(self) -> tuple[float, float]:
        """The x axis of every panel: all errors, with room for the markers."""
        errors = self.errors.values() or [0.1]
        return min(errors) / 1.35, max(errors) * 1.35

    def at(self, corpus: str) -> dict[str, float]:
        """The precisions of a corpus, from fine to coarse, and their errors."""
        own = {precision: error for (c, precision), error in self.errors.items() if c == corpus}
        return dict(sorted(own.items(), key=lambda item: item[1]))


def plot_reversion(scores: Sequence[Score], found: Summaries, survival: Path, folder: Path) -> None:
    """Draw reversion against the rounding error of the target into `folder`, as PNG and as PDF.

    A column for each corpus and objective, a row for each metric of the forget set, a line a
    variant. A value beyond [-0.5, 1.5] is a hollow marker on the edge. A variant without a number
    has a gap, and a mark at the bottom that says why.

    Raises:
        InputError: `scores` hold no reversion of a variant that the figure knows, or the survival
            of a precision was not measured.
    """
    drawn = gather(scores, found, survival)
    with rc_context(FONT):
        save(_draw(drawn), folder, FILE)


def gather(scores: Sequence[Score], found: Summaries, survival: Path) -> Reversions:
    """Find what there is to draw, and the rounding error of each corpus' target.

    A mid-rise grid is left out: it is a control that has no zero, not a finer or coarser grid. So
    is a precision that rounds nothing, as bf16 where the target is stored in it: a logarithm has
    no place for it, and its reversion is 0.

    Raises:
        InputError: see `plot_reversion`.
    """
    kept = [
        score
        for score in scores
        if score.metric in ROWS
        and score.cell.adapter in LINES
        and not Precision.parse(score.cell.precision).midrise
    ]
    if not kept:
        raise InputError("metrics: no reversion to draw; collect the metrics again")
    errors = {}
    for corpus, precision in distinct((s.cell.corpus, s.cell.precision) for s in kept):
        own = [s for s in kept if (s.cell.corpus, s.cell.precision) == (corpus, precision)]
        error = _rounding_error(own, survival)
        if error:
            errors[corpus, precision] = error
    return Reversions(
        found,
        errors,
        bands(distinct((score.cell.corpus, score.cell.objective) for score in kept)),
        tuple(a for a in LINES if any(score.cell.adapter == a for score in kept)),
    )


def _rounding_error(scores: Sequence[Score], survival: Path) -> float | None:
    """Of the target, which every run has measured alike; None where all diverged."""
    for cell in distinct(score.cell for score in scores):
        if rows := read_survival(matrices_file(survival, cell)):
            return overall(rows).rounding_error
    return None


def _draw(drawn: Reversions) -> Figure:
    band = NAMES + len(ROWS) * (PANEL_HEIGHT + GAP) + TICKS
    figure = Figure(figsize=(WIDTH, HEAD + len(drawn.bands) * band))
    columns = max(map(len, drawn.bands))
    width = (WIDTH - LEFT - RIGHT - (columns - 1) * GAP) / columns
    panels: list[Axes] = []
    marks: set[str] = set()
    for index, row in enumerate(drawn.bands):
        for column, (corpus, objective) in enumerate(row):
            left, top = LEFT + column * (width + GAP), HEAD + index * band
            for place, metric in enumerate(ROWS):
                y = top + NAMES + place * (PANEL_HEIGHT + GAP)
                axes = panel(figure, left, y, width, PANEL_HEIGHT)
                panels.append(axes)
                key = Key(corpus, objective, "", "", metric)
                marks |= _draw_panel(axes, drawn, key, width)
                axes.tick_params(labelleft=column == 0, labelbottom=metric == list(ROWS)[-1])
                if column == 0:
                    axes.set_ylabel(ROWS[metric])
                    axes.yaxis.set_label_coords(-0.45 / width, 0.5)
                if column == len(row) - 1:
                    name_guides(axes)
            _name_precisions(panels[-len(ROWS)], drawn, corpus, width)
            title = f"{corpus_name(corpus)} · {method_name(objective)}"
            write(figure, left, top - 0.08, title, fontsize=9.5, fontweight="bold")
        write(
            figure,
            LEFT + (len(row) * (width + GAP) - GAP) / 2,
            HEAD + (index + 1) * band - AXIS_NAME,
            "relative rounding error of target's weights",
            horizontalalignment="center",
        )
    for axes in panels:
        scale(axes, *limits(drawn.summaries.values(), marks))
    head(figure, TITLE, HOW_TO_READ)
    entries = {adapter_name(adapter): look(LINES[adapter]) for adapter in drawn.adapters}
    legend(figure, entries, "upper left", 0.69)
    if used := {mark: style for mark, style in REVERSION_MARKS.items() if mark in marks}:
        legend(figure, used, "upper right", 0.69)
    return figure


def _draw_panel(axes: Axes, drawn: Reversions, key: Key, width: float) -> set[str]:
    """Draw each variant's line.

    Returns:
        The marks in use that a legend must explain, of `REVERSION_MARKS`.
    """
    places = drawn.at(key.corpus)
    low, high = drawn.limits()
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    axes.xaxis.set_minor_formatter(NullFormatter())
    for error in places.values():
        axes.axvline(error, color="#ebebeb", linewidth=0.6, zorder=0)
    if not places:
        axes.text(0.5, 0.5, NO_PLACE, transform=axes.transAxes, ha="center", va="center")
    marks: set[str] = set()
    for index, adapter in enumerate(drawn.adapters):
        line = LINES[adapter]
        # The variants stand side by side, the same distance apart anywhere on a logarithmic axis.
        inches = SHIFT * (index - (len(drawn.adapters) - 1) / 2)
        factor = (high / low) ** (inches / width)
        found = [
            (error * factor, drawn.summaries[own])
            for precision, error in places.items()
            if (own := key._replace(adapter=adapter, precision=precision)) in drawn.summaries
        ]
        marks |= draw_values(axes, [x for x, _ in found], [s for _, s in found], line)
    return marks


def _name_precisions(axes: Axes, drawn: Reversions, corpus: str, width: float) -> None:
    """Write the precisions above the uppermost panel, slanted, a line from each to its error."""
    low, high = drawn.limits()
    places = drawn.at(corpus)
    inches = [width * math.log(error / low) / math.log(high / low) for error in places.values()]
    apart = spread(inches, NAME_GAP, 0.0, width)
    for precision, place, moved in zip(places, inches, apart, strict=True):
        axes.plot(
            [place / width, moved / width],
            [1.0, 1 + LEADER / PANEL_HEIGHT],
            transform=axes.transAxes,
            color="#bbbbbb",
            linewidth=0.6,
            clip_on=False,
        )
        axes.text(
            moved / width,
            1 + LEADER / PANEL_HEIGHT,
            precision_name(precision),
            transform=axes.transAxes,
            rotation=45,
            rotation_mode="anchor",
            verticalalignment="center",
            fontsize=8,
        )
