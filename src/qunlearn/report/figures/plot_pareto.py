"""Forgetting against Utility: what each variant pays, and where quantization moves it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import Transform

from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, Line, adapter_name, precision_name
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.page import MARKS
from qunlearn.report.figures.panels import Shown, Summaries, counted, sheet
from qunlearn.report.figures.readings import read_scores
from qunlearn.report.figures.values import (
    BAR,
    STRIP,
    aside,
    dot,
    ends,
    extent,
    reference_key,
    reference_name,
)
from qunlearn.run.errors import InputError

FILE = "pareto"
START = "bf16"
UTILITY = "utility"
FORGETTING = {"verbmem": "VerMem", "knowmem": "KnowMem"}
METRICS = (UTILITY, *FORGETTING)
TITLE = "Forgotten and useful, and still so after quantization?"
HOW_TO_READ = (
    "Coloured: bf16, with 95 % intervals, drawn slightly apart; arrows: where quantization moves "
    "it. Grey: every precision.\nSquare-root x axes; "
)
BETTER: dict[str, Any] = {"s": "↖ better", "fontsize": 9, "fontweight": "bold", "color": "#555555"}
REFERENCE_LOOK: dict[str, dict[str, Any]] = {
    "target": {"marker": "D", "markersize": 4, "color": REFERENCE_LINES["target"].colour},
    "retrain": {"marker": "P", "markersize": 6, "color": REFERENCE_LINES["retrain"].colour},
}
HEAVY, THIN = 1.8, 0.8  # points, of arrows
ARROW: dict[str, Any] = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
FEW_BITS = 4
TICKS = (0, 1, 5, 10, 20, 40, 60, 80, 100)
EDGE = 12  # points, left of 0, so that what is drawn apart does not cover the axis
SHIFT = 6.5  # points between variants: a marker's width, for many have the same value
Ends = tuple[float, float, float]
"""A value and its 95 % interval."""
HEIGHT = 2.6  # inches, of a panel


def plot(metrics: Path, summary: Path, output: Path) -> None:
    """Draw forgetting (x) against Utility (y) into the folder `output`, as PNG and as PDF.

    A column for each corpus and objective, a row for each of VerMem and KnowMem. Every variant is
    a marker at bf16 with both 95 % intervals of `summary`, and an arrow to each precision of
    four bits or fewer, a heavy one to the last and coarsest. Target and retrain are grey markers,
    one a precision. A variant of which a run diverged has a cross in the lower right corner.
    Controls are left out, and so are mid-rise grids, which are controls too.

    Raises:
        InputError: `metrics` holds no variant that the figure knows, or none at bf16.
    """
    scores, found = read_scores(metrics, summary)
    shown = Shown.of(
        score.cell
        for score in scores
        if score.metric in METRICS and not Precision.parse(score.cell.precision).midrise
    )
    if START not in shown.precisions:
        raise InputError("metrics: no unlearned model in bf16; add bf16 to precisions")
    shown = replace(shown, precisions=distinct([START, *shown.precisions]))
    words = TITLE, HOW_TO_READ + counted(own for key, own in found.items() if key.metric in METRICS)
    rows = dict.fromkeys(FORGETTING, "Utility, ROUGE-L  (↑ better)")
    spans = {
        metric: extent(s for key, s in found.items() if key.metric == metric and shown.has(key))
        for metric in METRICS
    }
    low, high = spans[UTILITY]
    room = 0.05 * ((high - low) or 1.0)
    with sheet(words, shown.columns, rows, HEIGHT, output, FILE) as drawn:
        for (column, metric), axes in drawn.items():
            _scale(axes, 1.05 * spans[metric][1] or 1.0)
            axes.set_ylim(low - room, high + 3 * room)
            axes.set_xlabel(f"{FORGETTING[metric]}, ROUGE-L  (← better)")
            axes.text(0.015, 0.985, **BETTER, transform=axes.transAxes, va="top")
            _draw_panel(axes, found, shown, Key(*column, "", "", metric))
        for width, names in ((HEAVY, shown.precisions[-1:]), (THIN, _few_bits(shown))):
            if names and names != [START]:
                label = f"to {', '.join(map(precision_name, names))}"
                axes.plot([], [], color="#444", marker=">", markersize=5, lw=width, label=label)


def _few_bits(shown: Shown) -> list[str]:
    """Where thin arrows lead: all of few bits but the last, to which a heavy one leads."""
    return [name for name in shown.precisions[:-1] if Precision.parse(name).bits <= FEW_BITS]


def _scale(axes: Axes, high: float) -> None:
    """A square-root x axis from 0: most models are crowded there, and 0 has no logarithm."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, high)
    axes.set_xticks([tick for tick in TICKS if tick <= high])
    axes.tick_params(labelbottom=True)
    axes.spines["left"].set_position(("outward", EDGE))
    axes.grid(axis="x")


def _draw_panel(axes: Axes, found: Summaries, shown: Shown, key: Key) -> None:
    """Draw each variant, target and retrain."""
    crosses = 0
    for index, adapter in enumerate(shown.adapters):
        line, own = LINES[adapter], key._replace(adapter=adapter)
        axes.plot([], [], **dot(line), label=adapter_name(adapter))
        moved = axes.transData + aside(axes, index, len(shown.adapters), SHIFT)
        _draw_moves(axes, shown, _points(found, shown, own), line, moved)
        if any(summary.diverged for summary in shown.over(found, own).values()):
            crosses += 1
            cross = MARKS["a run diverged"] | {"color": line.colour, "label": "a run diverged"}
            axes.plot(1 - 0.07 * crosses, STRIP / 2, **cross, transform=axes.transAxes)
    for reference, style in REFERENCE_LOOK.items():
        axes.plot([], [], **style, linestyle="", label=reference_name(reference))
        points = _points(found, shown, reference_key(key, reference)).values()
        x, y = [x for (x, *_), _ in points], [y for _, (y, *_) in points]
        # Half of a marker at 0 lies outside of the axes.
        axes.plot(x, y, **style, mec="white", mew=0.4, lw=0.8, alpha=0.75, clip_on=False, zorder=2)


def _points(found: Summaries, shown: Shown, key: Key) -> dict[str, tuple[Ends, Ends]]:
    """Forgetting (`key`'s metric) and Utility of a model at each precision with numbers."""
    x, y = shown.over(found, key), shown.over(found, key._replace(metric=UTILITY))
    return {
        shown.precisions[at]: (ends(x[at]), ends(y[at]))
        for at in x
        if at in y and x[at].value is not None and y[at].value is not None
    }


def _draw_moves(
    axes: Axes, shown: Shown, points: dict[str, tuple[Ends, Ends]], line: Line, moved: Transform
) -> None:
    """Draw a variant's marker and intervals at bf16, and its arrows."""
    if START not in points:
        return
    (x, left, right), (y, low, high) = points[START]
    place: dict[str, Any] = {"transform": moved, "clip_on": False}
    axes.plot(x, y, **dot(line) | {"markersize": 6.5}, **place, zorder=6)
    axes.hlines(y, left, right, color=line.colour, **BAR, **place)
    axes.vlines(x, low, high, color=line.colour, **BAR, **place)
    for precision in distinct([*_few_bits(shown), shown.precisions[-1]]):
        if precision != START and precision in points:
            heavy = precision == shown.precisions[-1]
            (end, *_), (height, *_) = points[precision]
            width = HEAVY if heavy else THIN
            arrow = ARROW | {"color": line.colour, "lw": width, "mutation_scale": 4 + 3.5 * width}
            place = {"xycoords": moved, "xytext": (x, y), "textcoords": moved}
            axes.annotate("", (end, height), **place, arrowprops=arrow, zorder=4 + heavy)
