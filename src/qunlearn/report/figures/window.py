"""Reversion on each grid, a line a learning rate."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

from qunlearn.experiment.labels import Line
from qunlearn.report.figures.house import FONT, WIDTH, head, legend, save
from qunlearn.report.figures.layout import panel
from qunlearn.report.figures.panel import look, set_ticks
from qunlearn.report.figures.reversion_axis import (
    REVERSION_MARKS,
    draw_values,
    limits,
    name_guides,
    scale,
)
from qunlearn.report.learning_rates import Rate

FILE = "window"
TITLE = "At which learning rate does a grid take the update back?"
HOW_TO_READ = (
    "Reversion of forget NLL: the share of the forgetting that rounding undoes. "
    "Bars: 95 % intervals."
)
# From small steps to large ones: Okabe and Ito's, with the default's in the look of its variant.
LOOKS = (
    Line("#E69F00", "v", (0, (1, 1.2))),
    Line("#D55E00", "s", (0, (5, 1.5))),
    Line("#56B4E9", "^", "-"),
    Line("#009E73", "o", (0, (4, 1.2, 1, 1.2))),
)
LEFT, RIGHT, TOP, HEIGHT, BELOW = 0.8, 0.75, 1.15, 2.3, 0.5  # inches
APART = 0.09  # of the distance of two precisions


def plot_window(rates: Sequence[Rate], folder: Path) -> None:
    """Draw `rates` (at most four, of the same precisions) into `folder`, as PNG and as PDF."""
    names = list(rates[0].reversions)
    with rc_context(FONT):
        figure = Figure(figsize=(WIDTH, TOP + HEIGHT + BELOW))
        width = WIDTH - LEFT - RIGHT
        axes = panel(figure, LEFT, TOP, width, HEIGHT)
        marks: set[str] = set()
        for index, (rate, line) in enumerate(zip(rates, LOOKS, strict=False)):
            shift = APART * (index - (len(rates) - 1) / 2)
            places = [place + shift for place in range(len(names))]
            marks |= draw_values(axes, places, [rate.reversions[name] for name in names], line)
        scale(axes, *limits([s for rate in rates for s in rate.reversions.values()], marks))
        set_ticks(axes, names, width, labelled=True)
        axes.set_ylabel("Reversion of\nforget NLL")
        name_guides(axes)
        head(figure, TITLE, HOW_TO_READ)
        entries = {
            f"learning rate {rate.lr:g}": look(line)
            for rate, line in zip(rates, LOOKS, strict=False)
        }
        legend(figure, entries, "upper left", 0.69)
        if used := {mark: style for mark, style in REVERSION_MARKS.items() if mark in marks}:
            legend(figure, used, "upper right", 0.69)
        save(figure, folder, FILE)
