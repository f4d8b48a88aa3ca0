"""One panel: a metric of the forget set over the precisions, each variant beside the references."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, Line, precision_name

Summaries = Mapping[Key, Summary]
POINTS_A_LETTER = 5.2
CROSS_STRIP = 0.11  # of the scale, below zero, where crosses do not cover what is near zero
LABEL_HEIGHT = 0.12  # of the scale
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.3}
MARKS: dict[str, dict[str, Any]] = {
    "off the scale": {"color": "#444444", "marker": "o", "linestyle": "", "markersize": 5} | HOLLOW,
    "a run diverged": {"color": "#444444", "marker": "x", "linestyle": "", "markeredgewidth": 1.6},
}


@dataclass(frozen=True)
class Curve:
    """A line over the precisions, of those that were run.

    Attributes:
        x: positions on the axis.
        value, low, high: NaN, which matplotlib draws as a gap, where every run diverged.
        crosses: positions where a run diverged.
    """

    x: list[float]
    value: list[float]
    low: list[float]
    high: list[float]
    crosses: list[float]


def curve(summaries: Summaries, precisions: Sequence[str], line: Key, offset: float = 0.0) -> Curve:
    """The line of `line`'s corpus, objective, adapter and metric, shifted right by `offset`."""
    keys = [line._replace(precision=precision) for precision in precisions]
    found = [(x + offset, summaries[key]) for x, key in enumerate(keys) if key in summaries]
    return Curve(
        [x for x, _ in found],
        [_or_nan(summary.value) for _, summary in found],
        [_or_nan(summary.low) for _, summary in found],
        [_or_nan(summary.high) for _, summary in found],
        [x for x, summary in found if summary.diverged],
    )


def draw_panel(
    axes: Axes,
    summaries: Summaries,
    precisions: Sequence[str],
    adapters: Sequence[str],
    panel: Key,
    shift: float,
    limit: float,
) -> set[str]:
    """Draw `panel`'s corpus, objective and metric, the variants `shift` apart.

    A value beyond `limit` is a hollow marker on it.

    Returns:
        The marks in use that a legend must explain, of `MARKS`.
    """
    for reference, line in REFERENCE_LINES.items():
        drawn = curve(summaries, precisions, reference_key(panel, reference))
        axes.plot(drawn.x, drawn.value, **look(line), zorder=2)
        axes.fill_between(
            drawn.x, drawn.low, drawn.high, color=line.colour, alpha=0.13, linewidth=0, zorder=1
        )
    marks = set()
    for index, adapter in enumerate(adapters):
        line = LINES[adapter]
        offset = shift * (index - (len(adapters) - 1) / 2)
        drawn = curve(summaries, precisions, panel._replace(adapter=adapter), offset)
        axes.vlines(
            drawn.x, drawn.low, drawn.high, color=line.colour, linewidth=1.1, alpha=0.55, zorder=3
        )
        # Python's min keeps a NaN that stands first
        axes.plot(drawn.x, [min(value, limit) for value in drawn.value], **look(line), zorder=4)
        if beyond := [x for x, value in zip(drawn.x, drawn.value, strict=True) if value > limit]:
            hollow = look(Line(line.colour, line.marker, "")) | HOLLOW
            hollow["markeredgecolor"] = line.colour
            axes.plot(beyond, [limit] * len(beyond), **hollow, clip_on=False, zorder=5)
            marks.add("off the scale")
        if drawn.crosses:
            axes.plot(
                drawn.crosses,
                [CROSS_STRIP / 2] * len(drawn.crosses),
                **look(Line(line.colour, "x", "")),
                transform=axes.get_xaxis_transform(),
                zorder=5,
            )
            marks.add("a run diverged")
    return marks


def scale_limit(summaries: Summaries, metric: str) -> float:
    """Twice the highest value of target and retrain.

    An objective that pushes the forget NLL far beyond never having known would else flatten all
    that lies between target and retrain.
    """
    values = [
        summary.value
        for key, summary in summaries.items()
        if key.metric == metric and key.objective in REFERENCE_LINES and summary.value is not None
    ]
    return 2 * max(values) if values else math.inf


def reference_key(panel: Key, reference: str) -> Key:
    """`target` or `retrain` of a panel's corpus and metric."""
    return panel._replace(objective=reference, adapter="none")


def look(line: Line) -> dict[str, Any]:
    """A line as matplotlib's keywords, for the panels and the legend alike."""
    keywords = {"color": line.colour, "linestyle": line.dashes, "marker": line.marker}
    if line.marker == "x":
        return keywords | {"markersize": 5.5, "markeredgewidth": 1.6}
    if line.marker:
        rim = {"markeredgecolor": "white", "markeredgewidth": 0.6}
        return keywords | rim | {"markersize": 5, "linewidth": 1.7}
    return keywords | {"linewidth": 1.3}


def set_ticks(axes: Axes, precisions: Sequence[str], width: float, labelled: bool) -> None:
    """Put the precisions on the x axis, on two lines or slanted where `width` (inches) is scant."""
    names = [precision_name(precision) for precision in precisions]
    longest = max(len(part) for name in names for part in name.split())
    crowded = width * 72 / len(names) < POINTS_A_LETTER * longest
    labels = names if crowded else [name.replace(" ", "\n") for name in names]
    axes.set_xlim(-0.4, len(names) - 0.6)
    axes.set_xticks(range(len(names)), labels if labelled else [""] * len(names))
    if crowded:
        for label in axes.get_xticklabels():
            label.set(rotation=40, rotation_mode="anchor", horizontalalignment="right")


def name_references(
    axes: Axes, summaries: Summaries, precisions: Sequence[str], panel: Key
) -> None:
    """Write `target` and `retrain` at the right ends of their lines, a letter's height apart."""
    ends = []
    for reference, line in REFERENCE_LINES.items():
        drawn = curve(summaries, precisions, reference_key(panel, reference))
        if drawn.value:
            ends.append((drawn.value[-1], reference, line.colour))
    ends.sort()
    low, high = axes.get_ylim()
    floor = low
    for y, reference, colour in ends:
        height = max(y, floor)
        floor = height + LABEL_HEIGHT * (high - low)
        axes.annotate(
            reference,
            (1.0, height),
            xycoords=axes.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            color=colour,
            fontsize=8,
            verticalalignment="center",
        )


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
