"""The controls: reversion against the size of the update, and with some weights left unrounded."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from qunlearn.analysis.frame import select
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.controls import CHOICES, SCALED, SPARE, plain_grids
from qunlearn.experiment.labels import LINES, Line, adapter_name, origin, precision_name
from qunlearn.report.figures import drawing
from qunlearn.report.figures.page import Column, column_name, sheet

METRIC = "reversion_nll_forget"
BASE = "full_bf16"  # the variant of which weights are spared
INTERVENTIONS = {BASE: "all rounded"}
INTERVENTIONS |= {SPARE + choice: adapter_name(SPARE + choice).split(", ")[1] for choice in CHOICES}
MIDRISE = "m"  # what a mid-rise precision's name ends with
RIGHT = ""  # the place of the panel of interventions
FACTOR: dict[str, Any] = {"xytext": (0, 6), "textcoords": "offset points", "fontsize": 7.5}
FACTOR |= {"ha": "center", "path_effects": [withStroke(linewidth=2.5, foreground="white")]}
MARKERS = {"lora_matched": "v", "full_matched": "D"}  # all others have their origin's


def plot(results: Path, output: Path) -> None:
    """Draw the controls into the folder `output`, PNG and PDF: a row a corpus and objective.

    Left, a panel for each plain grid: the reversion of the forget NLL against the relative
    norm of the update, low-rank and full-rank updates on one axis. Right, at the last and coarsest
    of them: fine-tuning in bf16 with some weights left unrounded, and on a grid without a zero.
    Variants that were not run are left out, and so are those that diverged: they have no size.

    Raises:
        InputError: a table is missing or does not parse.
    """
    found = drawing.scores(results, [METRIC], midrise=True, controls=True)
    precisions = plain_grids(distinct(found["precision"]))
    coarsest, cell = precisions[-1], ["corpus", "objective", "adapter"]
    over_seeds = drawing.read_mechanism(results).groupby(cell)
    sizes = over_seeds["relative_norm"].mean()
    found = found.join(sizes.rename("x"), on=cell)
    sized = found[found["precision"].isin(precisions) & found["x"].notna()]
    places = [
        (column, name) for column in drawing.columns_of(found) for name in (*precisions, RIGHT)
    ]

    def title(place: tuple[Column, str]) -> str:
        column, precision = place
        if precision == RIGHT:
            return f"bf16 FT on {precision_name(coarsest)}"
        return f"{column_name(column)}\n" * (precision == precisions[0]) + precision_name(precision)

    abreast = len(precisions) + 1
    with sheet("controls", places, output, drawing.counted(found), title, abreast) as drawn:
        for (((corpus, objective), precision), _), axes in drawn.items():
            drawing.scale_reversion(axes, found)
            own = select(found, corpus=corpus, objective=objective)
            if precision == RIGHT:
                _draw_interventions(axes, own, coarsest)
            else:
                axes.set(xscale="log", xlim=(sized["x"].min() / 1.5, sized["x"].max() * 1.5))
                _draw_sizes(axes, select(own, precision=precision).dropna(subset="x"))


def _draw_sizes(axes: Axes, own: pd.DataFrame) -> None:
    """Draw the variants at their norms, and a line through the low-rank ones."""
    drawing.plain_log(axes.xaxis, 100, " %")
    axes.set_xlabel("size of the update, ||d|| / ||W||")
    low_rank = own[own["adapter"].map(origin) == "lora"].sort_values("x")
    chain = low_rank["value"].clip(*drawing.REVERSION)
    axes.plot(low_rank["x"], chain, color=LINES["lora"].colour, linewidth=1.2)
    for adapter in distinct(own["adapter"]):
        values = select(own, adapter=adapter)
        line = LINES[origin(adapter)]
        points = Line(line.colour, MARKERS.get(adapter, line.marker), "")
        factor = adapter.removeprefix(SCALED)
        label = adapter_name(adapter) if factor == adapter else ""
        drawing.draw_values(axes, values, points, label, drawing.REVERSION)
        if not label and values["value"].notna().all():
            place = values["x"].iloc[0], values["ci_high"].clip(*drawing.REVERSION).iloc[0]
            axes.annotate(f"× {factor}", place, color=line.colour, **FACTOR)


def _draw_interventions(axes: Axes, own: pd.DataFrame, coarsest: str) -> None:
    """Draw fine-tuning in bf16 as it is, with each kind of weights left unrounded, and mid-rise."""
    rounded = select(own, precision=coarsest).set_index("adapter").reindex(list(INTERVENTIONS))
    midrise = select(own, precision=coarsest + MIDRISE, adapter=BASE)
    shown = pd.concat([rounded.dropna(subset="precision"), midrise.set_index("adapter")])
    names = [INTERVENTIONS[name] for name in shown.index[: len(shown) - len(midrise)]]
    drawing.name_ticks(axes, [*names, *["mid-rise grid"] * len(midrise)])
    look = LINES[BASE]
    points = Line(look.colour, look.marker, "")
    shown["x"] = range(len(shown))
    drawing.draw_values(axes, shown, points, adapter_name(BASE), drawing.REVERSION)
