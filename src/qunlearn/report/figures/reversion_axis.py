"""How reversion is drawn: its scale, and what 0 and 1 mean."""

from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Summary
from qunlearn.report.figures.panels import name_at_right
from qunlearn.report.figures.values import STRIP, has_marks

GUIDES = {0.0: "survived", 1.0: "back at\ntarget"}
GUIDE_LOOK: dict[str, Any] = {"color": "#444444", "linewidth": 0.8, "linestyle": (0, (1, 1.5))}
LIMITS = (-0.5, 1.5)  # values beyond are off the scale


def span(found: Iterable[Summary]) -> tuple[float, float]:
    """The scale that shows 0, 1 and all intervals, up to `LIMITS`, above a strip for marks."""
    drawn = list(found)
    low = min([-0.05, *(s.low for s in drawn if s.low is not None)])
    high = max([1.05, *(s.high for s in drawn if s.high is not None)])
    low, high = max(low - 0.05, LIMITS[0]), min(high + 0.05, LIMITS[1])
    return low - STRIP * (high - low) if has_marks(drawn) else low, high


def scale(axes: Axes, found: Iterable[Summary]) -> None:
    """Set the y axis to the span of `found`, with a named line at 0 and at 1."""
    low, high = span(found)
    axes.set_ylim(low, high)
    axes.set_yticks([tick for tick in (-0.5, 0, 0.5, 1, 1.5) if low <= tick <= high])
    for guide in GUIDES:
        axes.axhline(guide, **GUIDE_LOOK, zorder=1)
    name_at_right(axes, {name: (guide, "#444444") for guide, name in GUIDES.items()})
