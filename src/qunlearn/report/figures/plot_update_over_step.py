"""The update in units of the grid's step: how far weights move, and how many cross a boundary."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, Line, adapter_name, origin, precision_name
from qunlearn.report.figures.drawing import dot, hollow, look, measurements
from qunlearn.report.figures.page import GREY, HOLLOW, sheet
from qunlearn.survival.table import read_histogram

FEWEST = 200  # weights in a bin whose flips are drawn: fewer say too little about a share
SEEN = 0.01  # percent of all weights: a bin with less is invisible in the upper panel
LOWEST_SHARE = 1e-4  # of flips, on a logarithmic axis
NONE_FLIP: dict[str, Any] = GREY | HOLLOW | {"marker": "o", "markersize": 4.5}
PREDICTION = Line("#222222", "", "-")


def plot(results: Path, names: Sequence[str], output: Path) -> None:
    """Draw the distribution of |d| / step and the flips in each bin into a folder, PNG and PDF.

    A pair of panels a precision: the share of weights in each bin for each variant; below, the
    measured share of flips (fixed grid; bins of at least 200 weights) beside min(|d| / step, 1),
    which is expected of weights that lie evenly between the boundaries of their code. A bin in
    which none flips is a hollow marker on the edge. The outermost bins hold what lies beyond them.
    A diverged variant is named so in the legend.

    Args:
        results: the experiment's folder, whose measurements are read.
        names: of one run, <corpus>/<objective>/<adapter>/seed<k>/<precision> each.
        output: gets `update_over_step_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: a histogram is missing, does not parse, or is of another model.
    """
    found = measurements(results, names, "_histogram.csv", read_histogram)
    tables = {cell: histogram(bins) for cell, bins in found.items()}
    every = pd.concat(tables.values())
    seen = every[(every["percent"] >= SEEN) & (every["high"] > 0)]
    limits = (seen["low"].min(), seen["high"].max()) if len(seen) else (LOWEST_SHARE, 1.0)
    highest = every["percent"][every["high"] > 0].max() if len(seen) else 1.0
    first = next(iter(tables))
    precisions = distinct(cell.precision for cell in tables)
    with sheet("update_over_step", precisions, output, title=precision_name, run=first) as drawn:
        for (precision, row), axes in drawn.items():
            own = {cell.adapter: t for cell, t in tables.items() if cell.precision == precision}
            axes.set(xscale="log", xlim=limits)
            if row == "shares":
                _draw_shares(axes, own)
                axes.set_ylim(0, 1.08 * highest)
            else:
                _draw_flips(axes, own, limits)
                axes.set_xlabel("|d| / step")


def histogram(bins: pd.DataFrame) -> pd.DataFrame:
    """A row a bin: `low` and `high` of |d| / step, `count`, `percent` of all weights, and `flips`.

    `flips` is the share of weights whose code changes on the fixed grid. No row where the training
    diverged.
    """
    percent = 100 * bins["count"] / bins["count"].sum()
    return bins.assign(percent=percent, flips=bins["flips_fixed"] / bins["count"])


def _draw_shares(axes: Axes, variants: Mapping[str, pd.DataFrame]) -> None:
    """Draw the histograms; the legend says how many weights each variant leaves alone."""
    for adapter, bins in variants.items():
        line, still = LINES[origin(adapter)], bins["high"] == 0
        # d = 0 is the same at every precision.
        share = f"{bins['percent'][still].sum():.1f} % with d = 0" if len(bins) else "diverged"
        axes.plot([], [], **look(line), label=f"{adapter_name(adapter)}: {share}")
        moved = bins[~still]
        if len(moved):
            edges = [*moved["low"], moved["high"].iloc[-1]]
            filled: dict[str, Any] = {"fill": True, "alpha": 0.1, "linewidth": 0}
            axes.stairs(moved["percent"], edges, color=line.colour, **filled)
            axes.stairs(moved["percent"], edges, color=line.colour, ls=line.dashes, linewidth=1.3)


def _draw_flips(
    axes: Axes, variants: Mapping[str, pd.DataFrame], limits: tuple[float, float]
) -> None:
    """Draw the prediction and the measured flips, at the geometric means of the bins' edges."""
    x = np.geomspace(*limits, 200)
    label = "expected: min(|d| / step, 1)"
    axes.plot(x, np.minimum(x, 1.0), **look(PREDICTION), label=label, zorder=2)
    axes.set(yscale="log", ylim=(LOWEST_SHARE, 1.6))
    axes.yaxis.set_minor_locator(NullLocator())
    for adapter, bins in variants.items():
        line, size = LINES[origin(adapter)], {"markersize": 4}
        flips = bins.set_index(np.sqrt(bins["low"] * bins["high"]))["flips"]
        enough = (bins["count"] >= FEWEST).to_numpy()
        flips = flips[enough & (flips.index > limits[0]) & (flips.index < limits[1])]
        some, none = flips[flips >= LOWEST_SHARE], flips[flips < LOWEST_SHARE]
        axes.plot(some.index, some, **dot(line) | size | {"markeredgewidth": 0.3}, zorder=4)
        if len(none):
            edge = hollow(line) | size | {"clip_on": False, "zorder": 3}
            axes.plot(none.index, [LOWEST_SHARE] * len(none), **edge)
            axes.plot([], [], **NONE_FLIP, label="no flip in the bin")
