"""Forgetting against Utility: what each variant pays, and where quantization moves it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from qunlearn.analysis.frame import select
from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, adapter_name, precision_name
from qunlearn.experiment.names import BEFORE
from qunlearn.quantize.method import Precision
from qunlearn.report.figures import drawing
from qunlearn.report.figures.page import MARKS, sheet

UTILITY = "utility"
FORGETTING = {"verbmem": "VerMem", "knowmem": "KnowMem"}
BETTER: dict[str, Any] = {"s": "↖ better", "fontsize": 9, "fontweight": "bold", "color": "#555555"}
REFERENCE_LOOK: dict[str, dict[str, Any]] = {
    "target": {"marker": "D", "markersize": 4, "color": REFERENCE_LINES["target"].colour},
    "retrain": {"marker": "P", "markersize": 6, "color": REFERENCE_LINES["retrain"].colour},
}
HEAVY, THIN = 1.8, 0.8  # points, of arrows
ARROW: dict[str, Any] = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}
FEW_BITS = 4
TICKS = (0, 1, 5, 10, 20, 40, 60, 80, 100)
SHIFT = 6.5  # points between variants: a marker's width, for many have the same value


def plot(results: Path, output: Path) -> None:
    """Draw forgetting (x) against Utility (y) into the folder `output`, as PNG and as PDF.

    A column for each corpus and objective, a row for each of VerMem and KnowMem. Every variant is
    a marker at bf16 with both 95 % intervals, and an arrow to each precision of four bits or
    fewer, a heavy one to the last and coarsest. Target and retrain are grey markers, one a
    precision. A variant of which a run diverged has a cross in the lower right corner. Controls are
    left out, and so are mid-rise grids, which are controls too.

    Raises:
        InputError: the summary of `results` does not parse, or holds no variant that is drawn.
    """
    found = drawing.scores(results, [UTILITY, *FORGETTING])
    *others, last = distinct(found["precision"])
    few = [name for name in others if Precision.parse(name).bits <= FEW_BITS]
    arrows = dict.fromkeys(few, THIN) | {last: HEAVY}
    arrows.pop(BEFORE, None)  # from where they lead
    useful = select(found, metric=UTILITY)
    low, high = drawing.extent(useful)
    room = 0.05 * ((high - low) or 1.0)
    with sheet("pareto", drawing.columns_of(found), output, drawing.counted(found)) as drawn:
        for ((corpus, objective), metric), axes in drawn.items():
            forgotten = select(found, metric=metric)
            _scale(axes, 1.05 * drawing.extent(forgotten)[1] or 1.0)
            axes.set_ylim(low - room, high + 3 * room)
            axes.set_xlabel(f"{FORGETTING[metric]}, ROUGE-L  (← better)")
            axes.text(0.015, 0.985, **BETTER, transform=axes.transAxes, va="top")
            both = forgotten.merge(useful, on=list(Key._fields[:4]), suffixes=("", "_y"))
            both = select(both, corpus=corpus)
            _draw_variants(axes, select(both, objective=objective), arrows)
            for name, style in REFERENCE_LOOK.items():
                own = select(both, objective=name)
                faint: dict[str, Any] = {"mec": "white", "mew": 0.4, "lw": 0.8, "alpha": 0.75}
                axes.plot(own["value"], own["value_y"], **style, **faint, clip_on=False, zorder=2)
                axes.plot([], [], **style, linestyle="", label=drawing.reference_name(name))
        for width in (HEAVY, THIN):
            if names := [precision_name(name) for name, own in arrows.items() if own == width]:
                style = {"color": "#444", "marker": ">", "markersize": 5}
                axes.plot([], [], **style, linewidth=width, label=f"to {', '.join(names)}")


def _scale(axes: Axes, high: float) -> None:
    """A square-root x axis from 0: most models are crowded there, and 0 has no logarithm."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, high)
    axes.set_xticks([tick for tick in TICKS if tick <= high])
    axes.tick_params(labelbottom=True)
    axes.spines["left"].set_position(("outward", 2 * SHIFT))  # free of markers at 0
    axes.grid(axis="x")


def _draw_variants(axes: Axes, own: pd.DataFrame, arrows: dict[str, float]) -> None:
    """Draw each variant's marker and intervals at bf16, and its arrows."""
    lines = drawing.variants(own)
    for index, (adapter, values) in enumerate(lines.items()):
        line = LINES[adapter]
        moved = axes.transData + drawing.aside(axes, index, len(lines), SHIFT)
        place: dict[str, Any] = {"transform": moved, "clip_on": False}
        axes.plot([], [], **drawing.dot(line), label=adapter_name(adapter))
        if values["diverged"].any():
            cross = MARKS["a run diverged"] | {"color": line.colour, "label": "a run diverged"}
            axes.plot(1 - 0.07 * (index + 1), drawing.STRIP / 2, **cross, transform=axes.transAxes)
        known = values.dropna(subset=["value", "value_y"]).set_index("precision")
        if BEFORE not in known.index:
            continue
        start = known.loc[BEFORE]
        x, y = start["value"], start["value_y"]
        axes.plot(x, y, **drawing.dot(line) | {"markersize": 6.5}, **place, zorder=6)
        axes.hlines(y, start["ci_low"], start["ci_high"], color=line.colour, **drawing.BAR, **place)
        axes.vlines(
            x, start["ci_low_y"], start["ci_high_y"], color=line.colour, **drawing.BAR, **place
        )
        for precision, end in known[known.index.isin(arrows)].iterrows():
            width = arrows[str(precision)]
            arrow = {"color": line.colour, "lw": width, "mutation_scale": 4 + 3.5 * width}
            at: dict[str, Any] = {"xytext": (x, y), "xycoords": moved, "textcoords": moved}
            at |= {"arrowprops": ARROW | arrow, "zorder": 4 + (width == HEAVY), "clip_on": False}
            axes.annotate("", (end["value"], end["value_y"]), **at)
