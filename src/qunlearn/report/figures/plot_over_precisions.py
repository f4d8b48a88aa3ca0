"""A figure with precisions along its x axes: every variant a line, beside target and retrain."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from qunlearn.analysis.frame import select
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, adapter_name, precision_name
from qunlearn.report.figures import drawing
from qunlearn.report.figures.page import FIGURES, sheet

NAMES_APART = 0.12  # of the scale, at least: the height of a name


def plot(figure: str, results: Path, output: Path) -> None:
    """Draw a column for each corpus and objective and a row for each metric with items.

    The panels of a metric share their scale; a value beyond it is a hollow marker on the edge. A
    variant of which a run diverged or is undefined has a mark at the bottom; where all are, its
    line has a gap. Reversions have lines at 0 and 1, other metrics target and retrain *at the
    same precision*. Mid-rise grids are controls, and only `survival_of_forgetting` has them.
    `reversion` orders and names the precisions by the relative rounding error of the corpus's
    target, without those that round nothing; other figures have the order of the summary.

    Args:
        figure: of `OVER_PRECISIONS`.
        results: the experiment's folder, whose tables are read.

    Raises:
        InputError: a table does not parse, or holds no variant that the figure knows.
    """
    midrise = figure == "survival_of_forgetting"
    kinds = FIGURES[figure]["rows"]
    found = drawing.scores(results, kinds, midrise=midrise)
    errors: dict[Any, float] = {}
    if figure == "reversion":
        grids = drawing.read_mechanism(results).groupby(["corpus", "precision"])
        errors = grids["rounding_error"].first().fillna(0.0).to_dict()
    rows = {metric: name for metric, name in kinds.items() if metric in {*found["metric"]}}
    counted = drawing.counted(found)
    with sheet(figure, drawing.columns_of(found), output, counted, words={"rows": rows}) as drawn:
        for ((corpus, objective), metric), axes in drawn.items():
            of_metric = select(found, metric=metric)
            own = select(of_metric, corpus=corpus)
            own = own[own["objective"].isin([objective, *REFERENCE_LINES])]
            places = distinct(own["precision"])
            names = [precision_name(name) for name in places]
            if errors:
                at = {name: 100 * errors.get((corpus, name), 0.0) for name in places}
                places = sorted(filter(at.get, places), key=lambda name: (at[name], name))
                names = [f"{precision_name(name)} {at[name]:.2g}\u00a0%" for name in places]
            drawing.name_ticks(axes, names)
            own = own[own["precision"].isin(places)]
            own = own.assign(x=own["precision"].map(places.index).astype(float)).sort_values("x")
            if metric.startswith("reversion_"):
                drawing.scale_reversion(axes, found)
                _draw_variants(axes, own, drawing.REVERSION)
            else:
                axes.set_ylim(*_span(of_metric, metric))
                _draw_variants(axes, own, (-math.inf, axes.get_ylim()[1]))
                _draw_references(axes, own)


def _draw_variants(axes: Axes, own: pd.DataFrame, limits: tuple[float, float]) -> None:
    lines = drawing.variants(own)
    for index, (adapter, values) in enumerate(lines.items()):
        moved = drawing.aside(axes, index, len(lines))
        drawing.draw_values(axes, values, LINES[adapter], adapter_name(adapter), limits, moved)


def _draw_references(axes: Axes, own: pd.DataFrame) -> None:
    """Draw target and retrain with bands, and name them at the right, beside their ends."""
    ends: dict[str, float] = {}
    for name, line in REFERENCE_LINES.items():
        if (values := select(own, objective=name)).empty:  # an audit may have no retrain
            continue
        style = drawing.look(line) | {"label": drawing.reference_name(name), "zorder": 2}
        axes.plot(values["x"], values["value"], **style)
        band: dict[str, Any] = {"color": line.colour, "alpha": 0.13, "lw": 0, "zorder": 1}
        axes.fill_between(values["x"], values["ci_low"], values["ci_high"], **band)
        if len(last := values["value"].iloc[-1:].dropna()):
            ends[name] = float(last.iloc[0])
    gap, middle = NAMES_APART * float(np.ptp(axes.get_ylim())), sum(ends.values()) / 2
    if len(ends) == 2 and np.ptp([*ends.values()]) < gap:
        low, high = sorted(ends, key=ends.__getitem__)
        ends = {low: middle - gap / 2, high: middle + gap / 2}
    for name, end in ends.items():
        drawing.name_at_right(axes, name, end, REFERENCE_LINES[name].colour)


def _span(own: pd.DataFrame, metric: str) -> tuple[float, float]:
    """The scale of a metric: up to all intervals, but not beyond twice the references' values.

    An objective that pushes the forget NLL far beyond never having known would else flatten all
    that lies between target and retrain. PrivLeak's ideal is 0, of which there is no double.
    """
    low, high = drawing.extent(own)
    twice = 2 * own["value"][own["objective"].isin(REFERENCE_LINES)].max() or math.nan
    signed = metric == "privleak"
    low, limit = (1.05 * low, math.nan) if signed else (0.0, twice)
    return drawing.with_strip(low, np.fmin(high + 0.05 * ((high - low) or 1.0), limit), own)
