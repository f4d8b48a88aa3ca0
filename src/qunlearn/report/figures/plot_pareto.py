"""Forgetting against Utility: what each variant pays, and where quantization moves it."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, adapter_name, precision_name
from qunlearn.experiment.names import BEFORE
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.page import MARKS
from qunlearn.report.figures.panels import Shown, counted, sheet
from qunlearn.report.figures.values import (
    BAR,
    STRIP,
    aside,
    dot,
    ends,
    extent,
    reference_name,
)
from qunlearn.run.errors import InputError

UTILITY = "utility"
FORGETTING = {"verbmem": "VerMem", "knowmem": "KnowMem"}
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
HEIGHT = 2.6  # inches, of a panel


def plot(summary: Path, output: Path) -> None:
    """Draw forgetting (x) against Utility (y) into the folder `output`, as PNG and as PDF.

    A column for each corpus and objective, a row for each of VerMem and KnowMem. Every variant is
    a marker at bf16 with both 95 % intervals, and an arrow to each precision of four bits or
    fewer, a heavy one to the last and coarsest. Target and retrain are grey markers, one a
    precision. A variant of which a run diverged has a cross in the lower right corner. Controls are
    left out, and so are mid-rise grids, which are controls too.

    Raises:
        InputError: `summary` holds no variant that the figure knows, or none at bf16.
    """
    shown = Shown.of(summary, [UTILITY, *FORGETTING])
    if BEFORE not in shown.precisions:
        raise InputError(f"{summary}: no unlearned model in bf16; add bf16 to precisions")
    arrows = _arrows(shown)
    rows = dict.fromkeys(FORGETTING, "Utility, ROUGE-L  (↑ better)")
    spans = {
        metric: extent(own for key, own in shown.found.items() if key.metric == metric)
        for metric in (UTILITY, *FORGETTING)
    }
    low, high = spans[UTILITY]
    room = 0.05 * ((high - low) or 1.0)
    words = TITLE, HOW_TO_READ + counted(shown.found.values())
    with sheet(words, shown.columns, rows, HEIGHT, output, "pareto") as drawn:
        for (column, metric), axes in drawn.items():
            _scale(axes, 1.05 * spans[metric][1] or 1.0)
            axes.set_ylim(low - room, high + 3 * room)
            axes.set_xlabel(f"{FORGETTING[metric]}, ROUGE-L  (← better)")
            axes.text(0.015, 0.985, **BETTER, transform=axes.transAxes, va="top")
            _draw_panel(axes, shown, arrows, Key(*column, "", "", metric))
        for width in (HEAVY, THIN):
            if names := [precision_name(name) for name, own in arrows.items() if own == width]:
                style: dict[str, Any] = {"color": "#444", "marker": ">", "markersize": 5}
                axes.plot([], [], **style, linewidth=width, label=f"to {', '.join(names)}")


def _arrows(shown: Shown) -> dict[str, float]:
    """Where arrows lead, and how wide they are: to few bits, and to the last and coarsest."""
    few = [name for name in shown.precisions if Precision.parse(name).bits <= FEW_BITS]
    last = shown.precisions[-1]
    return {
        name: HEAVY if name == last else THIN for name in distinct([*few, last]) if name != BEFORE
    }


def _scale(axes: Axes, high: float) -> None:
    """A square-root x axis from 0: most models are crowded there, and 0 has no logarithm."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, high)
    axes.set_xticks([tick for tick in TICKS if tick <= high])
    axes.tick_params(labelbottom=True)
    axes.spines["left"].set_position(("outward", EDGE))
    axes.grid(axis="x")


def _draw_panel(axes: Axes, shown: Shown, arrows: dict[str, float], key: Key) -> None:
    """Draw each variant's marker and intervals at bf16 and its arrows; target and retrain."""
    crosses = 0
    for index, adapter in enumerate(shown.adapters):
        line, own = LINES[adapter], key._replace(adapter=adapter)
        axes.plot([], [], **dot(line), label=adapter_name(adapter))
        if any(summary.diverged for summary in shown.over(own).values()):
            crosses += 1
            cross = MARKS["a run diverged"] | {"color": line.colour, "label": "a run diverged"}
            axes.plot(1 - 0.07 * crosses, STRIP / 2, **cross, transform=axes.transAxes)
        points = _points(shown, own)
        if BEFORE not in points:
            continue
        (x, left, right), (y, low, high) = points[BEFORE]
        moved = axes.transData + aside(axes, index, len(shown.adapters), SHIFT)
        place: dict[str, Any] = {"transform": moved, "clip_on": False}
        axes.plot(x, y, **dot(line) | {"markersize": 6.5}, **place, zorder=6)
        axes.hlines(y, left, right, color=line.colour, **BAR, **place)
        axes.vlines(x, low, high, color=line.colour, **BAR, **place)
        for precision, width in arrows.items():
            if precision in points:
                (end, *_), (height, *_) = points[precision]
                arrow = {"color": line.colour, "lw": width, "mutation_scale": 4 + 3.5 * width}
                place = {"xytext": (x, y), "xycoords": moved, "textcoords": moved}
                place |= {"arrowprops": ARROW | arrow, "zorder": 4 + (width == HEAVY)}
                axes.annotate("", (end, height), **place)
    for reference, style in REFERENCE_LOOK.items():
        axes.plot([], [], **style, linestyle="", label=reference_name(reference))
        found = _points(shown, key._replace(objective=reference, adapter="none")).values()
        x, y = np.array(list(found)).reshape(-1, 2, 3)[:, :, 0].T
        # Half of a marker at 0 lies outside of the axes.
        axes.plot(x, y, **style, mec="white", mew=0.4, lw=0.8, alpha=0.75, clip_on=False, zorder=2)


def _points(shown: Shown, key: Key) -> dict[str, Any]:
    """Forgetting (`key`'s metric) and Utility, with their intervals, at each precision: [2, 3]."""
    x, y = shown.over(key), shown.over(key._replace(metric=UTILITY))
    known = [at for at in x if at in y and x[at].value is not None and y[at].value is not None]
    return {shown.precisions[int(at)]: ends([x[at], y[at]]) for at in known}
