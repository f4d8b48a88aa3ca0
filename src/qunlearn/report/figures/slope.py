"""What changes from bf16 to a few bits: every metric as a slope, with its numbers at both ends."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import (
    LINES,
    REFERENCE_LINES,
    REFERENCE_MEANINGS,
    adapter_name,
    number,
)
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.house import FONT, head, legend, save
from qunlearn.report.figures.layout import Sheet, spread
from qunlearn.report.figures.panel import (
    CROSS_STRIP,
    MARKS,
    Summaries,
    draw_panel,
    look,
    name_references,
    scale_limit,
    set_ticks,
)
from qunlearn.report.figures.survival import Panels, arrange
from qunlearn.run.errors import InputError

FILE = "slope"
START = "bf16"
ROWS = {
    "verbmem": "VerMem ↓\nROUGE-L",
    "knowmem": "KnowMem ↓\nROUGE-L",
    "privleak": "PrivLeak → 0\n%",
    "utility": "Utility ↑\nROUGE-L",
    "nll_forget": "Forget NLL ↑\nnats a token",
}
TITLE = "What do fewer bits change?"
HOW_TO_READ = (
    "A level line: quantization changes nothing. A line that runs to target's: forgetting is lost. "
    "Bars and bands: 95 % intervals."
)
# Inches.
LEFT, RIGHT, HEAD, BAND_TITLE, FOOT = 0.8, 0.55, 0.98, 0.28, 0.5
HEIGHT, ACROSS, DOWN = 1.1, 0.2, 0.2
ENDS = 0.5  # of a panel, left and right of its lines, for the numbers
SHIFT, NUMBER_GAP, NUMBER_BOTTOM, NUMBER_LEFT = 0.035, 0.12, 0.06, 0.09


def plot_slope(
    scores: Sequence[Score], found: Summaries, precisions: Sequence[str], folder: Path
) -> None:
    """Draw each metric at bf16 and at `precisions` into `folder`, as PNG and as PDF.

    A column for each corpus and objective, a row for each metric. Every variant is a line, beside
    target and retrain *at the same precision*; its numbers stand at both ends. Bars and bands are
    the 95 % intervals of `found`. A variant of which a run diverged has a cross at the bottom;
    a value over twice the references' is a hollow marker on the upper edge.

    Args:
        precisions: from fine to coarse; mid-rise grids, which are controls, are left out.

    Raises:
        InputError: no precision is given, one was not evaluated, or `scores` hold no variant that
            the figure knows.
    """
    panels = choose(scores, precisions)
    with rc_context(FONT):
        save(_draw(panels, found), folder, FILE)


def choose(scores: Sequence[Score], precisions: Sequence[str]) -> Panels:
    """The panels of the survival figure, at bf16 and `precisions` alone.

    Raises:
        InputError: see `plot_slope`.
    """
    places = distinct([START, *(p for p in precisions if not Precision.parse(p).midrise)])
    if len(places) == 1:
        raise InputError("precisions: none given to compare with bf16; name one, e.g. nf4")
    panels = arrange(scores)
    if missing := [place for place in places if place not in panels.precisions]:
        raise InputError(f"precisions: {', '.join(missing)} not in the metrics; evaluate it first")
    return Panels(panels.bands, tuple(places), panels.adapters)


def _draw(panels: Panels, summaries: Summaries) -> Figure:
    sheet = Sheet(panels.bands, ROWS, LEFT, RIGHT, HEAD, BAND_TITLE, FOOT, HEIGHT, ACROSS, DOWN)
    figure, drawn = sheet.draw()
    limits = {metric: _limit(summaries, metric) for metric in ROWS}
    steps = len(panels.precisions) - 1
    unit = (sheet.width - 2 * ENDS) / steps  # inches from one precision to the next
    marks: set[str] = set()
    for (corpus, objective, metric), axes in drawn.items():
        key = Key(corpus, objective, "", "", metric)
        marks |= draw_panel(
            axes,
            summaries,
            panels.precisions,
            panels.adapters,
            key,
            SHIFT / unit,
            limits[metric],
        )
        set_ticks(axes, panels.precisions, sheet.width, labelled=metric == list(ROWS)[-1])
        axes.set_xlim(-ENDS / unit, steps + ENDS / unit)
    for metric, limit in limits.items():
        _scale(drawn[*panels.bands[0][0], metric], metric, limit, "a run diverged" in marks)
    for (corpus, objective, metric), axes in drawn.items():
        key = Key(corpus, objective, "", "", metric)
        _write_numbers(axes, panels, summaries, key, unit)
        if any((corpus, objective) == band[-1] for band in panels.bands):
            name_references(axes, summaries, panels.precisions, key)
    head(figure, TITLE, HOW_TO_READ)
    entries = {adapter_name(adapter): look(LINES[adapter]) for adapter in panels.adapters}
    for name, line in REFERENCE_LINES.items():
        entries[f"{name} ({REFERENCE_MEANINGS[name]})"] = look(line)
    legend(figure, entries, "upper left", 0.69)
    if used := {mark: style for mark, style in MARKS.items() if mark in marks}:
        legend(figure, used, "upper right", 0.18)
    return figure


def _limit(summaries: Summaries, metric: str) -> float:
    """Where the scale ends; PrivLeak's ideal is 0, of which there is no double."""
    return math.inf if metric == "privleak" else scale_limit(summaries, metric)


def _scale(axes: Axes, metric: str, limit: float, crosses: bool) -> None:
    low, high = axes.get_ylim()
    high = min(high, limit)
    if metric != "privleak":
        low = 0.0
    axes.set_ylim(low - CROSS_STRIP * (high - low) if crosses else low, high)


def _write_numbers(axes: Axes, panels: Panels, summaries: Summaries, key: Key, unit: float) -> None:
    """Write each variant's first and last number beside its line, where none covers another."""
    low, high = axes.get_ylim()
    steps = len(panels.precisions) - 1
    for place, side, align in ((0, -1, "right"), (steps, 1, "left")):
        found = []
        for adapter in panels.adapters:
            own = summaries.get(key._replace(adapter=adapter, precision=panels.precisions[place]))
            if own is not None and own.value is not None:
                found.append((own.value, adapter))
        found.sort()
        wanted = [HEIGHT * (min(value, high) - low) / (high - low) for value, _ in found]
        for (value, adapter), y in zip(
            found, spread(wanted, NUMBER_GAP, NUMBER_BOTTOM, HEIGHT), strict=True
        ):
            axes.text(
                place + side * NUMBER_LEFT / unit,
                y / HEIGHT,
                number(key.metric, value).replace("-", "−"),  # as on the axis
                transform=axes.get_xaxis_transform(),
                color=LINES[adapter].colour,
                fontsize=7.5,
                horizontalalignment=align,
                verticalalignment="center",
            )
