"""Fine-tuning in bf16 with some weights left unrounded: one panel, a row an intervention."""

from typing import Any

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.controls import CHOICES, SPARE
from qunlearn.experiment.labels import LINES, Line, adapter_name, precision_name
from qunlearn.report.figures.panel import Summaries, look
from qunlearn.report.figures.reversion_axis import BAR_LOOK, GUIDE_LOOK, GUIDES, cut, hollow, limits

SPARED = tuple(SPARE + choice for choice in CHOICES)
MIDRISE = "m"  # what a mid-rise precision's name ends with
NAME_HEIGHT, POINT_HEIGHT = 0.36, 0.72  # of a row, from its upper edge


def draw_interventions(axes: Axes, summaries: Summaries, key: Key) -> set[str]:
    """Draw the reversion (x) of each intervention at `key`'s corpus, objective and precision.

    From above: fine-tuning in bf16 as it is, with each kind of weights left unrounded, and on the
    mid-rise grid. What was not run has no row; a row without a number says why.

    Returns:
        The marks in use that a legend must explain, of `REVERSION_MARKS`.
    """
    rows = interventions(summaries, key)
    low, high = limits(summaries.values(), set())
    axes.set_xlim(low, high)
    axes.set_ylim(max(len(rows), 1), 0)
    axes.set_yticks([])
    axes.set_xticks(list(GUIDES), [f"{x:g}\n{name}" for x, name in GUIDES.items()])
    axes.spines["left"].set_visible(False)
    for guide in GUIDES:
        axes.axvline(guide, **GUIDE_LOOK, zorder=1)
    line = Line(LINES["full_bf16"].colour, LINES["full_bf16"].marker, "")
    marks: set[str] = set()
    for index, (name, summary) in enumerate(rows):
        place: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "fontsize": 7.5,
            "backgroundcolor": "white",  # covers the guide at 0
        }
        axes.text(0.02, index + NAME_HEIGHT, name, **place)
        y = index + POINT_HEIGHT
        if summary.value is None or summary.low is None or summary.high is None:
            absent = "diverged" if summary.diverged else "undefined: not forgotten"
            axes.text(0.02, y, absent, **place, color="#666666", verticalalignment="center")
            continue
        value = cut(summary.value)
        axes.hlines(y, cut(summary.low), cut(summary.high), color=line.colour, **BAR_LOOK)
        axes.hlines(y, 0, value, color=line.colour, linewidth=3, alpha=0.3)
        off = value != summary.value
        axes.plot(value, y, **(hollow(line) if off else look(line)), clip_on=False, zorder=4)
        if off:
            marks.add("off the scale")
    return marks


def interventions(summaries: Summaries, key: Key) -> list[tuple[str, Summary]]:
    """The rows: names and summaries of what was run; none where only the model as it is was."""
    base = key._replace(adapter="full_bf16")
    midrise = base._replace(precision=key.precision + MIDRISE)
    names = {
        base: f"{adapter_name('full_bf16')}, all rounded",
        **{key._replace(adapter=spared): adapter_name(spared) for spared in SPARED},
        midrise: f"{adapter_name('full_bf16')}, {precision_name(midrise.precision)}",
    }
    found = [(name, summaries[own]) for own, name in names.items() if own in summaries]
    return found if len(found) > 1 or base not in summaries else []
