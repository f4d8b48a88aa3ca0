"""Lines, intervals and marks: how a value is drawn, and what stands where there is no number."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.transforms import IdentityTransform, ScaledTranslation, Transform

from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.labels import REFERENCE_MEANINGS, Line
from qunlearn.report.figures.page import HOLLOW, MARKS

NO_LIMITS = (-math.inf, math.inf)
STRIP = 0.11  # of the scale, at its lower end, where marks cover no value
BAR: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.55, "zorder": 3}


def draw_values(
    axes: Axes,
    x: Sequence[float],
    found: Sequence[Summary],
    line: Line,
    label: str,
    limits: tuple[float, float] = NO_LIMITS,
    moved: Transform | None = None,
) -> None:
    """Draw values with their intervals as `line`, cut to `limits`.

    A value beyond is a hollow marker on the edge. A summary without a number is a gap; one of
    which a run diverged or is undefined has a mark at the bottom. `moved` is of `aside`.
    """
    moved = moved or IdentityTransform()
    place: dict[str, Any] = {"transform": axes.transData + moved}
    rows = [ends(own, limits) for own in found]
    values = [value for value, _, _ in rows]
    bars: dict[str, Any] = {"ymin": [row[1] for row in rows], "ymax": [row[2] for row in rows]}
    axes.vlines(x, **bars, color=line.colour, **BAR, **place)
    axes.plot(x, values, **look(line), **place, label=label, zorder=4)
    pairs = list(zip(x, values, found, strict=True))
    if beyond := [(a, v) for a, v, s in pairs if s.value is not None and v != s.value]:
        edge = hollow(line) | place | {"label": "off the scale", "clip_on": False, "zorder": 5}
        axes.plot([a for a, _ in beyond], [v for _, v in beyond], **edge)
    strip = axes.get_xaxis_transform() + moved
    for mark, places in (
        ("a run diverged", [a for a, _, s in pairs if s.diverged]),
        ("undefined: not forgotten", [a for a, _, s in pairs if s.undefined]),
    ):
        if places:
            style = MARKS[mark] | {"color": line.colour, "label": mark, "zorder": 5}
            axes.plot(places, [STRIP / 2] * len(places), **style, transform=strip)


def ends(own: Summary, limits: tuple[float, float] = NO_LIMITS) -> tuple[float, float, float]:
    """A value and its 95 % interval, cut to `limits`."""
    return cut(own.value, limits), cut(own.low, limits), cut(own.high, limits)


def cut(value: float | None, limits: tuple[float, float] = NO_LIMITS) -> float:
    """`value`, at most on the edge of the scale; NaN, which matplotlib draws as a gap, for None."""
    return math.nan if value is None else min(max(value, limits[0]), limits[1])


def extent(found: Iterable[Summary]) -> tuple[float, float]:
    """The lowest and highest end of an interval."""
    values = [x for own in found for x in ends(own) if not math.isnan(x)]
    return min(values, default=0.0), max(values, default=1.0)


def has_marks(found: Iterable[Summary]) -> bool:
    """Whether some summary has a mark in the strip at the bottom."""
    return any(own.diverged or own.undefined for own in found)


def aside(axes: Axes, index: int, count: int, points: float = 2.5) -> Transform:
    """Move the variants of one precision apart, so that no bar hides behind another's."""
    right = points / 72 * (index - (count - 1) / 2)
    return ScaledTranslation(right, 0, axes.figure.dpi_scale_trans)


def reference_key(key: Key, reference: str) -> Key:
    """`target` or `retrain` of a key's corpus, precision and metric."""
    return key._replace(objective=reference, adapter="none")


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
