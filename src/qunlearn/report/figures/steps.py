"""The update in units of the grid's step: how far weights move, and how many cross a boundary."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import (
    LINES,
    Line,
    adapter_name,
    origin,
    precision_name,
)
from qunlearn.report.figures.house import FONT, WIDTH, head, legend, save
from qunlearn.report.figures.layout import even_rows, panel
from qunlearn.report.figures.measured import histogram_file, update_name
from qunlearn.report.figures.panel import HOLLOW, look
from qunlearn.run.errors import InputError
from qunlearn.survival.table import Bin, read_histogram

TITLE = "Do weights move far enough to leave their code?"
HOW_TO_READ = (
    "d: what unlearning adds to a weight; step: of the grid at this weight. Above: how far weights "
    "move. Below: how many codes flip."
)
FEWEST = 200  # weights in a bin whose flips are drawn: fewer say too little about a share
SEEN = 1e-4  # of all weights: a bin with less is invisible in the upper panel
LOWEST_SHARE = 1e-4  # of flips, on a logarithmic axis
NONE_FLIP = {"color": "#444444", "marker": "o", "linestyle": "", "markersize": 4.5} | HOLLOW
PREDICTION = Line("#222222", "", "-")
# Inches.
LEFT, RIGHT, HEAD, TITLE_HEIGHT, FOOT = 0.82, 0.15, 1.12, 0.26, 0.56
SHARES_HEIGHT, FLIPS_HEIGHT, GAP, BETWEEN = 1.0, 1.35, 0.16, 0.12


@dataclass(frozen=True)
class Moves:
    """A variant's histogram over the matrices of a model; all is empty where it diverged.

    Attributes:
        edges: [bins + 1], ascending, of |d| / step.
        shares: [bins], of all weights; those with d = 0 are in no bin.
        unmoved: share of weights with d = 0; None where it diverged.
        centres: of the bins with enough weights, the geometric mean of their edges.
        flips: of those, the share of weights whose code changes on the fixed grid.
    """

    edges: tuple[float, ...]
    shares: tuple[float, ...]
    unmoved: float | None
    centres: tuple[float, ...]
    flips: tuple[float, ...]


def plot_update_over_step(survival: Path, cells: Sequence[Cell], folder: Path) -> None:
    """Draw the distribution of |d| / step and the flips in each bin into `folder`, PNG and PDF.

    A pair of panels a precision: the share of weights in each bin for each variant; below, the
    measured share of flips (fixed grid; bins of at least 200 weights) beside min(|d| / step, 1),
    which is expected of weights that lie evenly between the boundaries of their code. A bin in
    which none flips is a hollow marker on the edge. The outermost bins hold what lies beyond them.
    A diverged variant is named so in the legend.

    Args:
        survival: the folder of the measurements.
        cells: of one corpus, objective and seed.
        folder: gets `update_over_step_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: `cells` are none, or a histogram is missing or does not parse.
    """
    if not cells:
        raise InputError("adapters, precisions: none given; name at least one of each")
    drawn = {cell: moves(read_histogram(histogram_file(survival, cell))) for cell in cells}
    with rc_context(FONT):
        name = f"update_over_step_{cells[0].corpus}_{cells[0].objective}"
        save(_draw(drawn), folder, name)


def moves(bins: Sequence[Bin]) -> Moves:
    """Turn counts into shares."""
    if not bins:
        return Moves((), (), None, (), ())
    total = sum(found.count for found in bins)
    moved = [found for found in bins if found.high > 0]
    full = [found for found in moved if found.count >= FEWEST]
    return Moves(
        (*(found.low for found in moved), moved[-1].high),
        tuple(found.count / total for found in moved),
        sum(found.count for found in bins if found.high == 0) / total,
        tuple(sqrt(found.low * found.high) for found in full),
        tuple(found.flips_fixed / found.count for found in full),
    )


def _draw(drawn: dict[Cell, Moves]) -> Figure:
    bands = even_rows(distinct(cell.precision for cell in drawn))
    band = TITLE_HEIGHT + SHARES_HEIGHT + BETWEEN + FLIPS_HEIGHT + FOOT
    figure = Figure(figsize=(WIDTH, HEAD + len(bands) * band))
    columns = max(map(len, bands))
    width = (WIDTH - LEFT - RIGHT - (columns - 1) * GAP) / columns
    limits = _limits(drawn.values())
    highest = 100 * max(max(found.shares, default=0.0) for found in drawn.values()) or 1.0
    hollow = False
    for index, row in enumerate(bands):
        for column, precision in enumerate(row):
            own = {cell.adapter: m for cell, m in drawn.items() if cell.precision == precision}
            left, top = LEFT + column * (width + GAP), HEAD + index * band + TITLE_HEIGHT
            shares = panel(figure, left, top, width, SHARES_HEIGHT)
            flips = panel(
                figure, left, top + SHARES_HEIGHT + BETWEEN, width, FLIPS_HEIGHT, sharex=shares
            )
            shares.set_title(precision_name(precision), loc="left", fontsize=9.5, fontweight="bold")
            shares.set_xscale("log")
            shares.set_xlim(*limits)
            _draw_shares(shares, own)
            shares.set_ylim(0, 1.08 * highest)
            hollow |= _draw_flips(flips, own, limits)
            flips.set_xlabel("|d| / step")
            for axes in (shares, flips):
                axes.tick_params(labelleft=column == 0)
            if column == 0:
                for axes, name in ((shares, "% of weights\na bin"), (flips, "share that flips")):
                    axes.set_ylabel(name)
                    axes.yaxis.set_label_coords(-0.5 / width, 0.5)
    _head(figure, drawn, hollow)
    return figure


def _limits(drawn: Iterable[Moves]) -> tuple[float, float]:
    """The edges of the bins of any variant and precision that can be seen in the upper panels."""
    used = [
        edge
        for found in drawn
        for share, *edges in zip(found.shares, found.edges[:-1], found.edges[1:], strict=True)
        for edge in edges
        if share >= SEEN
    ]
    return (min(used), max(used)) if used else (LOWEST_SHARE, 1.0)


def _draw_shares(axes: Axes, variants: dict[str, Moves]) -> None:
    for adapter, found in variants.items():
        line = LINES[origin(adapter)]
        if not found.shares:
            continue
        percent = [100 * share for share in found.shares]
        axes.stairs(percent, found.edges, fill=True, color=line.colour, alpha=0.1, linewidth=0)
        axes.stairs(percent, found.edges, color=line.colour, linestyle=line.dashes, linewidth=1.3)
    axes.tick_params(labelbottom=False)


def _draw_flips(axes: Axes, variants: dict[str, Moves], limits: tuple[float, float]) -> bool:
    """Draw the prediction and the measured flips.

    Returns:
        Whether some bin has no flip and stands on the lower edge.
    """
    x = np.geomspace(*limits, 200)
    axes.plot(x, np.minimum(x, 1.0), **look(PREDICTION), zorder=2)
    axes.set_yscale("log")
    axes.set_ylim(LOWEST_SHARE, 1.6)
    axes.yaxis.set_minor_locator(NullLocator())
    hollow = False
    for adapter, found in variants.items():
        line = LINES[origin(adapter)]
        pairs = [
            pair
            for pair in zip(found.centres, found.flips, strict=True)
            if limits[0] < pair[0] < limits[1]
        ]
        style = look(Line(line.colour, line.marker, "")) | {"markersize": 4}
        style["markeredgewidth"] = 0.3
        axes.plot(*_columns([p for p in pairs if p[1] >= LOWEST_SHARE]), **style, zorder=4)
        if none := [(centre, LOWEST_SHARE) for centre, share in pairs if share < LOWEST_SHARE]:
            edge = style | HOLLOW | {"markeredgecolor": line.colour, "clip_on": False}
            axes.plot(*_columns(none), **edge, zorder=3)
            hollow = True
    return hollow


def _columns(pairs: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in pairs], [y for _, y in pairs]


def _head(figure: Figure, drawn: dict[Cell, Moves], hollow: bool) -> None:
    """Title, and a legend that says how many weights each variant leaves alone."""
    head(figure, TITLE, HOW_TO_READ, update_name(next(iter(drawn))))
    entries = {}
    for adapter in distinct(cell.adapter for cell in drawn):
        # d = 0 is the same at every precision.
        unmoved = next(m.unmoved for cell, m in drawn.items() if cell.adapter == adapter)
        share = "diverged" if unmoved is None else f"{100 * unmoved:.1f} % with d = 0"
        entries[f"{adapter_name(adapter)}: {share}"] = look(LINES[origin(adapter)])
    legend(figure, entries, "upper left", 0.69)
    marks = {"expected: min(|d| / step, 1)": look(PREDICTION)}
    legend(figure, marks | ({"no flip in the bin": NONE_FLIP} if hollow else {}), "upper left", 0.9)
