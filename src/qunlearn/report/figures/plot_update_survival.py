"""What rounding leaves of the update, matrix by matrix: layer by module, a panel a model."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, precision_name
from qunlearn.report.figures.drawing import measurements
from qunlearn.report.figures.page import sheet
from qunlearn.survival.table import overall, read_survival

# Both maps of colours are perceptually uniform and grow lighter throughout, for grey prints and for
# every common colour blindness. What lies beyond a scale is noise.
QUANTITIES = {
    "cosine_adaptive": ("Direction: cosine of d and d′ (1: the same)", 1.0, "viridis"),
    "projection_adaptive": ("Size: projection of d′ on d, in units of d (1: all)", 1.2, "cividis"),
}
UNCHANGED: dict[str, Any] = {"color": "#d4d4d4", "marker": "s", "linestyle": "", "markersize": 8}
UNCHANGED_NAME = "the update leaves this matrix alone"
MOST_LAYER_TICKS = 8


def plot(results: Path, names: Sequence[str], output: Path) -> None:
    """Draw cosine and projection (adaptive grid) of every matrix into a folder, PNG and PDF.

    A row of panels a precision; in each half a column a variant, so that variants stand side by
    side on one scale. The number above a panel is that of the whole model. A matrix that the
    update leaves alone is grey; a diverged model's panel says so.

    Args:
        results: the experiment's folder, whose measurements are read.
        names: of one run, <corpus>/<objective>/<adapter>/seed<k>/<precision> each.
        output: gets `update_survival_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: a measurement is missing, does not parse, or is of another model.
    """
    models = measurements(results, names, ".csv", read_survival)
    first = next(iter(models))
    precisions = distinct(cell.precision for cell in models)
    adapters = distinct(cell.adapter for cell in models)
    places = [(quantity, adapter) for quantity in QUANTITIES for adapter in adapters]
    rows = {name: f"{precision_name(name)}\nlayer" for name in precisions}
    own_rows: dict[str, Any] = {"words": {"rows": rows}, "run": first}
    with sheet("update_survival", places, output, "", _title, len(places), **own_rows) as drawn:
        for quantity, (label, limit, colours) in QUANTITIES.items():
            image = ScalarMappable(Normalize(0, limit), colormaps[colours])
            own = {place: axes for place, axes in drawn.items() if place[0][0] == quantity}
            for ((_, adapter), precision), axes in own.items():
                cell = replace(first, adapter=adapter, precision=precision)
                _draw_grid(axes, models[cell], quantity, image)
                axes.tick_params(length=0)
            place: dict[str, Any] = {"location": "top", "aspect": 40, "extend": "both"}
            bar = axes.figure.colorbar(image, ax=list(own.values()), label=label, **place)
            bar.outline.set_visible(False)  # type: ignore[operator]


def _title(place: tuple[str, str]) -> str:
    return adapter_name(place[1]).replace(" (", "\n(")


def grid(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Arrange a model's matrices: layers x modules; NaN where there is none or its update is 0.

    Those of one layer and name (experts, say) count as one.
    """
    groups = rows.groupby(["layer", "module"], sort=False)
    found = pd.Series({place: overall(own)[column] for place, own in groups}).unstack()
    return found[distinct(rows["module"])]


def _draw_grid(axes: Axes, rows: pd.DataFrame, column: str, image: ScalarMappable) -> None:
    """Draw a model's matrices below its number as a whole."""
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.xaxis.set_label_position("top")
    if rows.empty:
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel("diverged", loc="left", fontsize=8, color="#666666")
        return
    whole, found = overall(rows)[column], grid(rows, column)
    shown = "undefined" if pd.isna(whole) else f"{whole:.2f}"
    axes.set_xlabel(f"overall {shown}", loc="left", fontsize=8)
    axes.set_facecolor(UNCHANGED["color"])
    if found.isna().to_numpy().any():
        axes.plot([], [], **UNCHANGED, label=UNCHANGED_NAME)
    style: dict[str, Any] = {"norm": image.norm, "cmap": image.cmap, "edgecolor": "white"}
    axes.pcolormesh(found, **style, linewidth=0.3)
    axes.invert_yaxis()  # the first layer on top
    ticks = range(0, len(found), ceil(len(found) / MOST_LAYER_TICKS))
    axes.set_yticks([y + 0.5 for y in ticks], [str(found.index[y]) for y in ticks])
    names = [str(module).removesuffix("_proj") for module in found]  # of `q_proj`, `q` will do
    axes.set_xticks([x + 0.5 for x in range(len(names))], names, rotation=90)
