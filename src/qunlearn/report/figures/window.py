"""Reversion on each grid, a line a learning rate."""

from collections.abc import Sequence
from pathlib import Path

from qunlearn.experiment.labels import Line
from qunlearn.report.figures.page import page
from qunlearn.report.figures.panels import counted, set_precisions
from qunlearn.report.figures.values import REVERSION, aside, draw_values, scale_reversion
from qunlearn.report.learning_rates import Rate

TITLE = "At which learning rate does a grid take the update back?"
HOW_TO_READ = (
    "Reversion of forget NLL: the share of the forgetting that rounding undoes. "
    "Bars: 95 % intervals; "
)
# From small steps to large ones: Okabe and Ito's, with the default's in the look of its variant.
LOOKS = (
    Line("#E69F00", "v", (0, (1, 1.2))),
    Line("#D55E00", "s", (0, (5, 1.5))),
    Line("#56B4E9", "^", "-"),
    Line("#009E73", "o", (0, (4, 1.2, 1, 1.2))),
)
HEIGHT = 2.9  # inches


def plot_window(rates: Sequence[Rate], folder: Path) -> None:
    """Draw `rates` (at most four, of the same precisions) into `folder`, as PNG and as PDF."""
    names = list(rates[0].reversions)
    shown = [summary for rate in rates for summary in rate.reversions.values()]
    with page(TITLE, HOW_TO_READ + counted(shown), HEIGHT, folder, "window") as body:
        axes = body.subplots()
        set_precisions(axes, names)
        scale_reversion(axes, shown)
        axes.set_ylabel("Reversion of\nforget NLL")
        for index, (rate, line) in enumerate(zip(rates, LOOKS, strict=False)):
            own = {float(x): rate.reversions[name] for x, name in enumerate(names)}
            moved = aside(axes, index, len(rates), points=8)
            draw_values(axes, own, line, f"learning rate {rate.lr:g}", REVERSION, moved)
