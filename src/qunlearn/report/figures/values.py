"""Lines, intervals and marks: how a value is drawn, and what stands where there is no number."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.transforms import IdentityTransform, ScaledTranslation, Transform
from numpy.typing import NDArray

from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.labels import LINES, REFERENCE_MEANINGS, Line, adapter_name
from qunlearn.report.figures.page import HOLLOW, MARKS
from qunlearn.report.figures.panels import Shown

NO_LIMITS = (-math.inf, math.inf)
STRIP = 0.11  # of the scale, at its lower end, where marks cover no value
BAR: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.55, "zorder": 3}
REVERSION = (-0.5, 1.5)  # reversions beyond are off the scale
GUIDES = {0.0: "survived", 1.0: "back at\ntarget"}
GUIDE: dict[str, Any] = {"color": "#444444", "linewidth": 0.8, "linestyle": (0, (1, 1.5))}
GUIDE |= {"zorder": 1}


def draw_variants(
    axes: Axes,
    shown: Shown,
    key: Key,
    limits: tuple[float, float],
    places: Mapping[str, float] | None = None,
) -> None:
    """Draw each variant of `key`'s corpus, objective and metric over the precisions."""
    for index, adapter in enumerate(shown.adapters):
        own = shown.over(key._replace(adapter=adapter), places)
        moved = aside(axes, index, len(shown.adapters))
        draw_values(axes, own, LINES[adapter], adapter_name(adapter), limits, moved)


def draw_values(
    axes: Axes,
    own: Mapping[float, Summary],
    line: Line,
    label: str,
    limits: tuple[float, float],
    moved: Transform | None = None,
) -> None:
    """Draw values (x -> summary) with their intervals as `line`, cut to `limits`.

    A value beyond is a hollow marker on the edge. A summary without a number is a gap; one of
    which a run diverged or is undefined has a mark at the bottom. `moved` is of `aside`.
    """
    moved = moved or IdentityTransform()
    place: dict[str, Any] = {"transform": axes.transData + moved}
    values, lows, highs = ends(own.values(), limits).T
    axes.vlines(list(own), lows, highs, color=line.colour, **BAR, **place)
    axes.plot(list(own), values, **look(line), **place, label=label, zorder=4)
    beyond = {
        x: y for (x, s), y in zip(own.items(), values, strict=True) if s.value not in (None, y)
    }
    if beyond:
        edge = hollow(line) | place | {"label": "off the scale", "clip_on": False, "zorder": 5}
        axes.plot(list(beyond), list(beyond.values()), **edge)
    place["transform"] = axes.get_xaxis_transform() + moved
    for trait, mark in (("diverged", "a run diverged"), ("undefined", "undefined: not forgotten")):
        if at := [x for x, summary in own.items() if getattr(summary, trait)]:
            style = MARKS[mark] | {"color": line.colour, "label": mark, "zorder": 5}
            axes.plot(at, [STRIP / 2] * len(at), **style, **place)


def ends(found: Iterable[Summary], limits: tuple[float, float] = NO_LIMITS) -> NDArray[np.float64]:
    """Values and their 95 % intervals, cut to `limits`: [summaries, 3].

    NaN where there is none, which matplotlib draws as a gap.
    """
    rows = [(own.value, own.low, own.high) for own in found]
    return np.clip(np.array(rows, float).reshape(-1, 3), *limits)


def extent(found: Iterable[Summary]) -> tuple[float, float]:
    """The lowest and highest end of an interval; 0 and 1 where there is none."""
    numbers = ends(found)
    numbers = numbers[np.isfinite(numbers)]
    return (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)


def with_strip(low: float, high: float, found: Iterable[Summary]) -> tuple[float, float]:
    """A scale with room for marks at its lower end, where some summary has one."""
    marked = any(own.diverged or own.undefined for own in found)
    return low - marked * STRIP * (high - low), high


def reversion_span(found: Iterable[Summary]) -> tuple[float, float]:
    """The scale that shows 0, 1 and all intervals, up to `REVERSION`, above a strip for marks."""
    drawn = list(found)
    low, high = extent(drawn)
    low, high = max(min(low, -0.05) - 0.05, REVERSION[0]), min(max(high, 1.05) + 0.05, REVERSION[1])
    return with_strip(low, high, drawn)


def scale_reversion(axes: Axes, found: Iterable[Summary]) -> None:
    """Set the y axis to the span of `found`, with a named line at 0 and at 1."""
    low, high = reversion_span(found)
    axes.set_ylim(low, high)
    axes.set_yticks([tick for tick in (-0.5, 0, 0.5, 1, 1.5) if low <= tick <= high])
    for guide, name in GUIDES.items():
        axes.axhline(guide, **GUIDE)
        name_at_right(axes, name, guide, "#444444")


def name_at_right(axes: Axes, name: str, value: float, colour: str, va: str = "center") -> None:
    """Write a name right of the last column of panels, at its value."""
    place = axes.get_subplotspec()
    if place is not None and place.is_last_col():
        at = axes.get_yaxis_transform()
        axes.text(1.012, value, name, transform=at, color=colour, fontsize=8, va=va)


def aside(axes: Axes, index: int, count: int, points: float = 2.5) -> Transform:
    """Move the variants of one precision apart, so that no bar hides behind another's."""
    right = points / 72 * (index - (count - 1) / 2)
    return ScaledTranslation(right, 0, axes.figure.dpi_scale_trans)


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
