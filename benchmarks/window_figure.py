"""Reversion on each grid, a line a learning rate."""

from pathlib import Path

import pandas as pd

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import Line, precision_name
from qunlearn.report.figures.drawing import (
    REVERSION,
    VALUES,
    aside,
    counted,
    draw_values,
    name_ticks,
    scale_reversion,
)
from qunlearn.report.figures.page import sheet

WORDS = {
    "title": "At which learning rate does a grid take the update back?",
    "how_to_read": "Reversion of forget NLL: the share of the forgetting that rounding undoes. "
    "Bars: 95 % intervals; %s",
    "height": 2.3,
    "rows": {"": "Reversion of\nforget NLL"},
}
# From small steps to large ones: Okabe and Ito's, with the default's in the look of its variant.
LOOKS = (
    Line("#E69F00", "v", (0, (1, 1.2))),
    Line("#D55E00", "s", (0, (5, 1.5))),
    Line("#56B4E9", "^", "-"),
    Line("#009E73", "o", (0, (4, 1.2, 1, 1.2))),
)


def plot_window(rates: pd.DataFrame, folder: Path) -> None:
    """Draw `rates` (of `read_rate`; at most four) into `folder`, as PNG and as PDF."""
    numbers = [*VALUES, "n", "lr"]
    names = distinct(rates["precision"])
    places = rates["precision"].map(names.index)
    own = rates.assign(**rates[numbers].astype(float), x=places.astype(float))
    with sheet("window", [""], folder, counted(own), title=str, words=WORDS) as drawn:
        axes = drawn["", ""]
        name_ticks(axes, list(map(precision_name, names)))
        scale_reversion(axes, own)
        groups = [values for _, values in own.groupby("lr")]
        for index, (values, line) in enumerate(zip(groups, LOOKS, strict=False)):
            label = f"learning rate {values['lr'].iloc[0]:g}"
            moved = aside(axes, index, len(groups), points=8)
            draw_values(axes, values, line, label, REVERSION, moved)
