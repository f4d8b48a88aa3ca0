"""Forgetting against Utility: what each variant pays, and where quantization moves it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation, Transform

from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import (
    LINES,
    REFERENCE_LINES,
    REFERENCE_MEANINGS,
    Line,
    adapter_name,
    precision_name,
)
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.house import FONT, head, legend, save
from qunlearn.report.figures.layout import Sheet, bands
from qunlearn.report.figures.panel import CROSS_STRIP, MARKS, Summaries, look, reference_key
from qunlearn.run.errors import InputError

FILE = "pareto"
START = "bf16"
UTILITY = "utility"
FORGETTING = {"verbmem": "VerMem", "knowmem": "KnowMem"}
TITLE = "Forgotten and useful, and still so after quantization?"
HOW_TO_READ = (
    "Coloured: bf16, with 95 % intervals, drawn slightly apart; arrows: where quantization moves "
    "it. Grey: every precision. Square-root x axes."
)
BETTER = "↖ better"
REFERENCE_LOOK: dict[str, dict[str, Any]] = {
    "target": {"marker": "D", "markersize": 4.5},
    "retrain": {"marker": "P", "markersize": 6},
}
HEAVY, THIN = 1.8, 0.8  # points
FEW_BITS = 4
TICKS = (0, 1, 5, 10, 20, 40, 60, 80, 100)
EDGE = 12  # points, left of 0, so that what is drawn apart does not cover the axis
# Inches.
LEFT, RIGHT, HEAD, BAND_TITLE, FOOT = 0.8, 0.15, 1.2, 0.28, 0.6
HEIGHT, ACROSS, DOWN = 2.1, 0.36, 0.6
SHIFT = 0.09  # between variants: a marker's width, for many have the same value
CROSS_GAP = 0.2


@dataclass(frozen=True)
class Moves:
    """What is drawn.

    Attributes:
        summaries: over seeds.
        bands: rows of (corpus, objective) columns.
        adapters: the variants, in the legend's order.
        precisions: from fine to coarse.
    """

    summaries: Summaries
    bands: tuple[tuple[tuple[str, str], ...], ...]
    adapters: tuple[str, ...]
    precisions: tuple[str, ...]

    @property
    def heavy(self) -> str:
        """The last and coarsest precision, to which the heavy arrows lead."""
        return self.precisions[-1]

    @property
    def thin(self) -> tuple[str, ...]:
        """The others of few bits; those of more hardly move a model."""
        return tuple(
            precision
            for precision in self.precisions[:-1]
            if Precision.parse(precision).bits <= FEW_BITS
        )

    def points(self, key: Key) -> dict[str, "Point"]:
        """Forgetting (`key`'s metric) and Utility of a model at each precision with numbers."""
        found = {}
        for precision in self.precisions:
            own = key._replace(precision=precision)
            x = _ends(self.summaries.get(own))
            y = _ends(self.summaries.get(own._replace(metric=UTILITY)))
            if x and y:
                found[precision] = Point(x, y)
        return found

    def diverged(self, key: Key) -> bool:
        """Whether a run of the model diverged."""
        keys = (key._replace(precision=precision) for precision in self.precisions)
        return any(own in self.summaries and self.summaries[own].diverged > 0 for own in keys)


class Ends(NamedTuple):
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


class Point(NamedTuple):
    """Where a model stands: forgetting and Utility."""

    x: Ends
    y: Ends


def plot_pareto(scores: Sequence[Score], found: Summaries, folder: Path) -> None:
    """Draw forgetting (x) against Utility (y) into `folder`, as PNG and as PDF.

    A column for each corpus and objective, a row for each of VerMem and KnowMem. Every variant is
    a marker at bf16 with both 95 % intervals of `found`, and an arrow to each precision of
    four bits or fewer, a heavy one to the last and coarsest. Target and retrain are grey markers,
    one a precision. A variant of which a run diverged has a cross in the lower right corner.

    Raises:
        InputError: `scores` hold no variant that the figure knows, or none at bf16.
    """
    drawn = gather(scores, found)
    with rc_context(FONT):
        save(_draw(drawn), folder, FILE)


def gather(scores: Sequence[Score], found: Summaries) -> Moves:
    """Find what there is to draw: no controls, and no mid-rise grids, which are controls too.

    Raises:
        InputError: see `plot_pareto`.
    """
    kept = [
        score
        for score in scores
        if score.metric in (UTILITY, *FORGETTING)
        and not Precision.parse(score.cell.precision).midrise
    ]
    cells = [score.cell for score in kept if score.cell.adapter in LINES]
    if not any(cell.precision == START for cell in cells):
        known = ", ".join(LINES)
        raise InputError(f"metrics: no unlearned model in bf16; evaluate an adapter of {known}")
    return Moves(
        {key: summary for key, summary in found.items() if key.metric in (UTILITY, *FORGETTING)},
        bands(distinct((cell.corpus, cell.objective) for cell in cells)),
        tuple(adapter for adapter in LINES if any(cell.adapter == adapter for cell in cells)),
        tuple(distinct([START, *(cell.precision for cell in cells)])),
    )


def _draw(drawn: Moves) -> Figure:
    rows = dict.fromkeys(FORGETTING, "Utility, ROUGE-L  (↑ better)")
    sheet = Sheet(drawn.bands, rows, LEFT, RIGHT, HEAD, BAND_TITLE, FOOT, HEIGHT, ACROSS, DOWN)
    figure, panels = sheet.draw()
    low, high = _limits(drawn, UTILITY)
    diverged = False
    for (corpus, objective, metric), axes in panels.items():
        diverged |= _draw_panel(axes, drawn, Key(corpus, objective, "", "", metric))
        _scale(axes, _limits(drawn, metric)[1])
        axes.set_ylim(low, high + 0.1 * (high - low))
        axes.set_xlabel(f"{FORGETTING[metric]}, ROUGE-L  (← better)")
        axes.grid(axis="x")
        place: dict[str, Any] = {"transform": axes.transAxes, "verticalalignment": "top"}
        axes.text(0.015, 0.985, BETTER, **place, fontsize=9, fontweight="bold", color="#555555")
    head(figure, TITLE, HOW_TO_READ)
    _legends(figure, drawn, diverged)
    return figure


def _ends(summary: Summary | None) -> Ends | None:
    if summary is None or summary.value is None or summary.low is None or summary.high is None:
        return None
    return Ends(summary.value, summary.low, summary.high)


def _limits(drawn: Moves, metric: str) -> tuple[float, float]:
    """The scale that shows every value and interval of a metric."""
    ends = [
        end
        for key, summary in drawn.summaries.items()
        if key.metric == metric
        for end in (summary.value, summary.low, summary.high)
        if end is not None
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    room = 0.05 * ((high - low) or 1.0)
    return low - room, high + room


def _scale(axes: Axes, high: float) -> None:
    """A square-root x axis from 0: most models are crowded there, and 0 has no logarithm."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, high)
    axes.set_xticks([tick for tick in TICKS if tick <= high])
    axes.spines["left"].set_position(("outward", EDGE))


def _draw_panel(axes: Axes, drawn: Moves, key: Key) -> bool:
    """Draw target, retrain and each variant.

    Returns:
        Whether a run diverged.
    """
    for reference in REFERENCE_LINES:
        points = drawn.points(reference_key(key, reference)).values()
        axes.plot(
            [point.x.value for point in points],
            [point.y.value for point in points],
            **_reference_look(reference),
            linewidth=0.8,
            alpha=0.75,
            clip_on=False,  # half of a marker at 0
            zorder=2,
        )
    crosses = 0
    inches = axes.figure.dpi_scale_trans
    for index, adapter in enumerate(drawn.adapters):
        line, own = LINES[adapter], key._replace(adapter=adapter)
        aside = SHIFT * (index - (len(drawn.adapters) - 1) / 2)
        moved = axes.transData + ScaledTranslation(aside, 0, inches)
        _draw_moves(axes, drawn, drawn.points(own), line, moved)
        if drawn.diverged(own):
            crosses += 1
            corner = ScaledTranslation(-CROSS_GAP * crosses, 0, inches)
            cross = look(Line(line.colour, "x", "")) | {"transform": axes.transAxes + corner}
            axes.plot([1.0], [CROSS_STRIP / 2], **cross, zorder=5)
    return crosses > 0


def _draw_moves(
    axes: Axes, drawn: Moves, points: dict[str, Point], line: Line, moved: Transform
) -> None:
    """Draw a variant's marker and intervals at bf16, and its arrows."""
    if START not in points:
        return
    x, y = points[START]
    place: dict[str, Any] = {"transform": moved, "clip_on": False}
    bars = place | {"color": line.colour, "linewidth": 1.1, "alpha": 0.55, "zorder": 3}
    axes.plot([x.low, x.high], [y.value, y.value], **bars)
    axes.plot([x.value, x.value], [y.low, y.high], **bars)
    axes.plot([x.value], [y.value], **_point(line), **place, zorder=6)
    for precision in (*drawn.thin, drawn.heavy):
        if precision == START or precision not in points:
            continue
        end = points[precision]
        width = HEAVY if precision == drawn.heavy else THIN
        axes.annotate(
            "",
            (end.x.value, end.y.value),
            xycoords=moved,
            xytext=(x.value, y.value),
            textcoords=moved,
            arrowprops={
                "arrowstyle": "-|>",
                "color": line.colour,
                "linewidth": width,
                "mutation_scale": 4 + 3.5 * width,
                "shrinkA": 0,
                "shrinkB": 0,
            },
            zorder=5 if width == HEAVY else 4,
        )


def _point(line: Line) -> dict[str, Any]:
    return look(Line(line.colour, line.marker, "")) | {"markersize": 6.5}


def _reference_look(reference: str) -> dict[str, Any]:
    return REFERENCE_LOOK[reference] | {
        "color": REFERENCE_LINES[reference].colour,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _legends(figure: Figure, drawn: Moves, diverged: bool) -> None:
    entries = {adapter_name(adapter): _point(LINES[adapter]) for adapter in drawn.adapters}
    for reference, meaning in REFERENCE_MEANINGS.items():
        entries[f"{reference} ({meaning})"] = _reference_look(reference) | {"linestyle": ""}
    legend(figure, entries, "upper left", 0.69)
    arrows: dict[str, dict[str, Any]] = {}
    if drawn.heavy != START:
        arrows[f"to {precision_name(drawn.heavy)}"] = {"color": "#444444", "linewidth": HEAVY}
    if drawn.thin:
        names = ", ".join(map(precision_name, drawn.thin))
        arrows[f"to {names}"] = {"color": "#444444", "linewidth": THIN}
    arrows = {name: style | {"marker": ">", "markersize": 5} for name, style in arrows.items()}
    if diverged:
        arrows["a run diverged"] = MARKS["a run diverged"]
    if arrows:
        legend(figure, arrows, "upper left", 0.88)
