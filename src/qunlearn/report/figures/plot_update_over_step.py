"""The update in units of the grid's step: how far weights move, and how many cross a boundary."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, Line, adapter_name, origin, precision_name
from qunlearn.report.figures.page import GREY, HOLLOW, page
from qunlearn.report.figures.panels import even_bands, panels, update_name
from qunlearn.report.figures.readings import measured_cells
from qunlearn.report.figures.values import dot, hollow, look
from qunlearn.survival.table import Bin, read_histogram

TITLE = "Do weights move far enough to leave their code?"
HOW_TO_READ = (
    "d: what unlearning adds to a weight; step: of the grid at this weight. Above: how far weights "
    "move. Below: how many codes flip."
)
ROWS = {"shares": "% of weights\na bin", "flips": "share that flips"}
FEWEST = 200  # weights in a bin whose flips are drawn: fewer say too little about a share
SEEN = 1e-4  # of all weights: a bin with less is invisible in the upper panel
LOWEST_SHARE = 1e-4  # of flips, on a logarithmic axis
NONE_FLIP: dict[str, Any] = GREY | HOLLOW | {"marker": "o", "markersize": 4.5}
PREDICTION = Line("#222222", "", "-")
HEIGHT = 3.5  # inches, of a pair of panels


class Moves(NamedTuple):
    """A variant's histogram over the matrices of a model; all is empty where it diverged.

    Attributes:
        edges: [bins + 1], ascending, of |d| / step.
        shares: [bins], of all weights; those with d = 0 are in no bin.
        unmoved: share of weights with d = 0; None where it diverged.
        flips: of bins with enough weights, the geometric mean of the edges and the share of
            weights whose code changes on the fixed grid.
    """

    edges: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()
    unmoved: float | None = None
    flips: tuple[tuple[float, float], ...] = ()


def plot(
    survival: Path,
    corpus: str,
    objective: str,
    seed: int,
    adapters: Sequence[str],
    precisions: Sequence[str],
    output: Path,
) -> None:
    """Draw the distribution of |d| / step and the flips in each bin into a folder, PNG and PDF.

    A pair of panels a precision: the share of weights in each bin for each variant; below, the
    measured share of flips (fixed grid; bins of at least 200 weights) beside min(|d| / step, 1),
    which is expected of weights that lie evenly between the boundaries of their code. A bin in
    which none flips is a hollow marker on the edge. The outermost bins hold what lies beyond them.
    A diverged variant is named so in the legend.

    Args:
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        output: gets `update_over_step_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: a histogram is missing, does not parse, or is of another model.
    """
    cells = measured_cells(survival, corpus, objective, seed, adapters, precisions)
    files = {c: survival / c.corpus / c.model / f"{c.precision}_histogram.csv" for c in cells}
    found = {cell: moves(read_histogram(file)) for cell, file in files.items()}
    columns = even_bands(distinct(cell.precision for cell in cells))
    limits = _limits(list(found.values()))
    highest = 100 * max(max(own.shares, default=0.0) for own in found.values()) or 1.0
    name = f"update_over_step_{corpus}_{objective}"
    whose = update_name(cells[0])
    with page(TITLE, HOW_TO_READ, HEIGHT * len(columns), output, name, whose) as body:
        for (precision, row), axes in panels(body, columns, ROWS, precision_name).items():
            own = {cell.adapter: m for cell, m in found.items() if cell.precision == precision}
            axes.set(xscale="log", xlim=limits)
            if row == "shares":
                _draw_shares(axes, own)
                axes.set_ylim(0, 1.08 * highest)
            else:
                _draw_flips(axes, own, limits)
                axes.set_xlabel("|d| / step")


def moves(bins: Sequence[Bin]) -> Moves:
    """Turn counts into shares."""
    if not bins:
        return Moves()
    total = sum(own.count for own in bins)
    moved = [own for own in bins if own.high > 0]
    full = [own for own in moved if own.count >= FEWEST]
    return Moves(
        (*(own.low for own in moved), moved[-1].high),
        tuple(own.count / total for own in moved),
        sum(own.count for own in bins if own.high == 0) / total,
        tuple((sqrt(own.low * own.high), own.flips_fixed / own.count) for own in full),
    )


def _limits(drawn: Sequence[Moves]) -> tuple[float, float]:
    """The edges of the bins of any variant and precision that can be seen in the upper panels."""
    used = [
        edge
        for own in drawn
        for share, *edges in zip(own.shares, own.edges[:-1], own.edges[1:], strict=True)
        for edge in edges
        if share >= SEEN
    ]
    return (min(used), max(used)) if used else (LOWEST_SHARE, 1.0)


def _draw_shares(axes: Axes, variants: dict[str, Moves]) -> None:
    """Draw the histograms; the legend says how many weights each variant leaves alone."""
    for adapter, own in variants.items():
        line = LINES[origin(adapter)]
        # d = 0 is the same at every precision.
        share = "diverged" if own.unmoved is None else f"{100 * own.unmoved:.1f} % with d = 0"
        axes.plot([], [], **look(line), label=f"{adapter_name(adapter)}: {share}")
        if own.shares:
            percent = [100 * share for share in own.shares]
            axes.stairs(percent, own.edges, fill=True, color=line.colour, alpha=0.1, linewidth=0)
            axes.stairs(percent, own.edges, color=line.colour, ls=line.dashes, linewidth=1.3)


def _draw_flips(axes: Axes, variants: dict[str, Moves], limits: tuple[float, float]) -> None:
    """Draw the prediction and the measured flips."""
    x = np.geomspace(*limits, 200)
    label = "expected: min(|d| / step, 1)"
    axes.plot(x, np.minimum(x, 1.0), **look(PREDICTION), label=label, zorder=2)
    axes.set(yscale="log", ylim=(LOWEST_SHARE, 1.6))
    axes.yaxis.set_minor_locator(NullLocator())
    for adapter, own in variants.items():
        line, size = LINES[origin(adapter)], {"markersize": 4}
        pairs = [pair for pair in own.flips if limits[0] < pair[0] < limits[1]]
        some = [pair for pair in pairs if pair[1] >= LOWEST_SHARE]
        none = [centre for centre, share in pairs if share < LOWEST_SHARE]
        style = dot(line) | size | {"markeredgewidth": 0.3}
        axes.plot([centre for centre, _ in some], [share for _, share in some], **style, zorder=4)
        if none:
            edge = hollow(line) | size | {"clip_on": False, "zorder": 3}
            axes.plot(none, [LOWEST_SHARE] * len(none), **edge)
            axes.plot([], [], **NONE_FLIP, label="no flip in the bin")
