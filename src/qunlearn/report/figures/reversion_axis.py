"""How reversion is drawn: its scale and guides, and what stands where there is no number."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Summary
from qunlearn.experiment.labels import Line
from qunlearn.report.figures.panel import CROSS_STRIP, HOLLOW, MARKS, look

GUIDES = {0.0: "survived", 1.0: "back at\ntarget"}
LOWEST, HIGHEST = -0.5, 1.5  # values beyond are off the scale
GUIDE_LOOK: dict[str, Any] = {"color": "#444444", "linewidth": 0.8, "linestyle": (0, (1, 1.5))}
BAR_LOOK: dict[str, Any] = {"linewidth": 1.1, "alpha": 0.55, "zorder": 3}
REVERSION_MARKS: dict[str, dict[str, Any]] = MARKS | {
    "undefined: not forgotten": {
        "color": "#444444",
        "marker": "$?$",
        "linestyle": "",
        "markersize": 6,
    },
}


def draw_values(
    axes: Axes, x: Sequence[float], summaries: Sequence[Summary], line: Line
) -> set[str]:
    """Draw reversions (y) with their intervals as `line`, cut to [-0.5, 1.5].

    A value beyond is a hollow marker on the edge. A summary without a number is a gap; one of
    which a run diverged or is undefined has a mark at the bottom.

    Returns:
        The marks in use that a legend must explain, of `REVERSION_MARKS`.
    """
    pairs = list(zip(x, summaries, strict=True))
    values = [math.nan if summary.value is None else summary.value for summary in summaries]
    for place, summary in pairs:
        if summary.low is not None and summary.high is not None:
            axes.vlines(place, cut(summary.low), cut(summary.high), color=line.colour, **BAR_LOOK)
    axes.plot(x, [cut(value) for value in values], **look(line), zorder=4)
    beyond = [(a, v) for a, v in zip(x, values, strict=True) if v != cut(v) and not math.isnan(v)]
    marks = set()
    if beyond:
        places, edges = [a for a, _ in beyond], [cut(v) for _, v in beyond]
        axes.plot(places, edges, **hollow(line), clip_on=False, zorder=5)
        marks.add("off the scale")
    for mark, lost in (
        ("a run diverged", [place for place, summary in pairs if summary.diverged]),
        ("undefined: not forgotten", [place for place, summary in pairs if summary.undefined]),
    ):
        if lost:
            style = REVERSION_MARKS[mark] | {"color": line.colour, "zorder": 5}
            strip = [CROSS_STRIP / 2] * len(lost)
            axes.plot(lost, strip, **style, transform=axes.get_xaxis_transform())
            marks.add(mark)
    return marks


def hollow(line: Line) -> dict[str, Any]:
    """The marker of a value off the scale."""
    style = look(Line(line.colour, line.marker, "")) | HOLLOW
    return style | {"markeredgecolor": line.colour}


def cut(value: float) -> float:
    """`value`, at most on the edge of the scale; NaN stays NaN."""
    # Python's max and min keep a NaN that stands first.
    return min(max(value, LOWEST), HIGHEST)


def limits(summaries: Iterable[Summary], marks: set[str]) -> tuple[float, float]:
    """The scale that shows 0, 1 and all intervals, up to the limits, above a strip for `marks`."""
    drawn = list(summaries)
    low = min([-0.05, *(s.low for s in drawn if s.low is not None)])
    high = max([1.05, *(s.high for s in drawn if s.high is not None)])
    low, high = max(low - 0.05, LOWEST), min(high + 0.05, HIGHEST)
    if marks - {"off the scale"}:
        low -= CROSS_STRIP * (high - low)
    return low, high


def scale(axes: Axes, low: float, high: float) -> None:
    """Set the y axis to reversion, with a line at 0 and at 1."""
    axes.set_ylim(low, high)
    axes.set_yticks([tick for tick in (-0.5, 0, 0.5, 1, 1.5) if low <= tick <= high])
    for guide in GUIDES:
        axes.axhline(guide, **GUIDE_LOOK, zorder=1)


def name_guides(axes: Axes) -> None:
    """Write what 0 and 1 mean, right of the axes."""
    for height, name in GUIDES.items():
        axes.annotate(
            name,
            (1.0, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            color="#444444",
            fontsize=8,
            verticalalignment="center",
        )
