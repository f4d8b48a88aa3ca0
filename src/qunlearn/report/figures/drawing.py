"""What the figures show of the tables, and how a value is drawn: line, interval and marks."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import LogLocator, NullLocator
from matplotlib.transforms import IdentityTransform, ScaledTranslation, Transform

from qunlearn.analysis.frame import MECHANISM_TABLE, SUMMARY_TABLE, read, select
from qunlearn.analysis.lineage import check_measurements
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, REFERENCE_MEANINGS, Line
from qunlearn.experiment.names import Cell
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.page import HOLLOW, MARKS
from qunlearn.run.errors import InputError

VALUES = ["value", "ci_low", "ci_high"]
STRIP = 0.11  # of the scale, at its lower end, where marks cover no value
TICKS = 12  # names along a row of panels, from which they are slanted
BAR: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.55, "zorder": 3}
REVERSION = (-0.5, 1.5)  # reversions beyond are off the scale
GUIDES = {0.0: "survived", 1.0: "back at\ntarget"}
GUIDE: dict[str, Any] = {"color": "#444444", "linewidth": 0.8, "linestyle": (0, (1, 1.5))}


def scores(
    results: Path, metrics: Collection[str], midrise: bool = False, controls: bool = False
) -> pd.DataFrame:
    """The rows of an experiment's summary of some metrics, with NaN where there is no number.

    Of target, retrain and the variants that have a look of their own.

    Args:
        midrise: whether mid-rise grids, which are controls, are shown too.
        controls: whether models that are controls are shown too.

    Raises:
        InputError: the table does not parse, or holds no such variant.
    """
    summary = results / "tables/summary.csv"
    found = read(summary, SUMMARY_TABLE)
    shown = found["metric"].isin(metrics)
    shown &= controls | found["adapter"].isin(LINES) | found["objective"].isin(REFERENCE_LINES)
    shown &= midrise | ~found["precision"].map(lambda name: Precision.parse(name).midrise)
    if not (shown & found["adapter"].isin(LINES)).any():
        known = ", ".join(LINES)
        raise InputError(f"{summary}: no unlearned model to draw; evaluate one of {known}")
    numbers = found[[*VALUES, "n"]].apply(pd.to_numeric, errors="coerce")
    return found.assign(**numbers).loc[shown]


def read_mechanism(results: Path) -> pd.DataFrame:
    """`mechanism.csv`, with the relative norm and the grid's rounding error as numbers."""
    found = read(results / "tables/mechanism.csv", MECHANISM_TABLE)
    numbers = found[["relative_norm", "rounding_error"]].apply(pd.to_numeric, errors="coerce")
    return found.assign(**numbers)


def columns_of(found: pd.DataFrame) -> list[tuple[str, str]]:
    """The corpora and objectives of unlearned models: a column of panels each."""
    own = found[~found["objective"].isin(REFERENCE_LINES)]
    return list(own[["corpus", "objective"]].drop_duplicates().itertuples(index=False, name=None))


def variants(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each variant with a look of its own, in the legend's order."""
    return {name: own for name in LINES if len(own := select(found, adapter=name))}


def measurements(
    results: Path, names: Sequence[str], suffix: str, read_file: Callable[[Path], pd.DataFrame]
) -> dict[Cell, pd.DataFrame]:
    """What was measured of each cell; nothing of a diverged one.

    Raises:
        InputError: a measurement is missing, does not parse or is of another model.
    """
    survival, cells = results / "survival", [Cell.parse(name) for name in names]
    check_measurements(survival, cells)
    return {c: read_file(survival / c.corpus / c.model / f"{c.precision}{suffix}") for c in cells}


def counted(found: pd.DataFrame) -> str:
    """`n = 8 to 24 items, 3 seeds`: behind the numbers of a figure."""
    kept = found.dropna(subset="n")
    if kept.empty:
        return "no number"
    low, high, seeds = int(kept["n"].min()), int(kept["n"].max()), kept["seeds"].max()
    span = f"{low} to {high}" if low < high else low
    return f"n = {span} items, {seeds} seed{'s' * (seeds > 1)}"


def draw_values(
    axes: Axes,
    own: pd.DataFrame,
    line: Line,
    label: str,
    limits: tuple[float, float],
    moved: Transform | None = None,
) -> None:
    """Draw values at `x` with their intervals as `line`, cut to `limits`.

    A value beyond is a hollow marker on the edge. A row without a number is a gap; one of which a
    run diverged or is undefined has a mark at the bottom. `moved` is of `aside`.
    """
    moved = moved or IdentityTransform()
    place: dict[str, Any] = {"transform": axes.transData + moved}
    cut = own[VALUES].clip(*limits)
    axes.vlines(own["x"], cut["ci_low"], cut["ci_high"], color=line.colour, **BAR, **place)
    axes.plot(own["x"], cut["value"], **look(line), **place, label=label, zorder=4)
    if (beyond := own["value"].notna() & (own["value"] != cut["value"])).any():
        edge = hollow(line) | place | {"label": "off the scale", "clip_on": False, "zorder": 5}
        axes.plot(own["x"][beyond], cut["value"][beyond], **edge)
    place["transform"] = axes.get_xaxis_transform() + moved
    for trait, mark in (("diverged", "a run diverged"), ("undefined", "undefined: not forgotten")):
        if len(at := own["x"][own[trait] > 0]):
            style = MARKS[mark] | {"color": line.colour, "label": mark, "zorder": 5}
            axes.plot(at, [STRIP / 2] * len(at), **style, **place)


def extent(found: pd.DataFrame) -> tuple[float, float]:
    """The lowest and highest end of an interval; 0 and 1 where there is none."""
    low, high = found["ci_low"].min(), found["ci_high"].max()
    return (0.0, 1.0) if np.isnan(low) else (float(low), float(high))


def with_strip(low: float, high: float, found: pd.DataFrame) -> tuple[float, float]:
    """A scale with room for marks at its lower end, where some row has one."""
    marked = bool(found[["diverged", "undefined"]].any(axis=None))
    return low - marked * STRIP * (high - low), high


def scale_reversion(axes: Axes, found: pd.DataFrame) -> None:
    """Scale the y axis to 0, 1 and all intervals, up to `REVERSION`; name the lines at 0 and 1."""
    low, high = extent(found)
    low, high = max(min(low, -0.05) - 0.05, REVERSION[0]), min(max(high, 1.05) + 0.05, REVERSION[1])
    low, high = with_strip(low, high, found)
    axes.set_ylim(low, high)
    axes.set_yticks([tick for tick in (-0.5, 0, 0.5, 1, 1.5) if low <= tick <= high])
    for guide, name in GUIDES.items():
        axes.axhline(guide, **GUIDE, zorder=1)
        name_at_right(axes, name, guide, "#444444")


def name_at_right(axes: Axes, name: str, value: float, colour: str) -> None:
    """Write a name right of the last column of panels, at its value."""
    place = axes.get_subplotspec()
    if place is not None and place.is_last_col():
        at = axes.get_yaxis_transform()
        axes.text(1.012, value, name, transform=at, color=colour, fontsize=8, va="center")


def aside(axes: Axes, index: int, count: int, points: float = 2.5) -> Transform:
    """Move the variants of one precision apart, so that no bar hides behind another's."""
    right = points / 72 * (index - (count - 1) / 2)
    return ScaledTranslation(right, 0, axes.figure.dpi_scale_trans)


def name_ticks(axes: Axes, names: Sequence[str]) -> None:
    """Name the places 0, 1, … of the x axis, slanted where there is little room."""
    slanted: dict[str, Any] = {"rotation": 40, "rotation_mode": "anchor", "ha": "right"}
    grid = axes.get_gridspec()
    if (grid.ncols if grid else 1) * len(names) <= TICKS:
        names, slanted = [name.replace(" ", "\n") for name in names], {}
    axes.set_xticks(range(len(names)), names, **slanted)
    axes.set_xlim(-0.4, len(names) - 0.6)


def plain_log(ruler: XAxis | YAxis, factor: int = 1, unit: str = "") -> None:
    """Few and plain numbers on a logarithmic axis, instead of powers of ten."""
    ruler.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ruler.set_major_formatter(lambda x, _: f"{factor * x:g}{unit}")
    ruler.set_minor_locator(NullLocator())


def reference_name(reference: str) -> str:
    """`target (not unlearned)`."""
    return f"{reference} ({REFERENCE_MEANINGS[reference]})"


def look(line: Line) -> dict[str, Any]:
    """A line as matplotlib's keywords."""
    keywords = {"color": line.colour, "linestyle": line.dashes, "marker": line.marker}
    if line.marker:
        rim = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        return keywords | rim | {"markersize": 5, "linewidth": 1.7}
    return keywords | {"linewidth": 1.3}


def dot(line: Line) -> dict[str, Any]:
    """The marker of a line alone."""
    return look(line) | {"linestyle": ""}


def hollow(line: Line) -> dict[str, Any]:
    """The marker of a value on the edge of the scale."""
    return dot(line) | HOLLOW | {"markeredgecolor": line.colour}
