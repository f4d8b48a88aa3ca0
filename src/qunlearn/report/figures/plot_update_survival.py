"""What rounding leaves of the update, matrix by matrix: layer by module, a panel a model."""

from collections.abc import Mapping, Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, precision_name
from qunlearn.experiment.names import Cell
from qunlearn.report.figures.page import page
from qunlearn.report.figures.panels import measurements, panels, run_name
from qunlearn.survival.table import overall, read_survival

TITLE = "How much of the update survives rounding?"
HOW_TO_READ = (
    "Update d = unlearned − target; arriving update d′ = the same difference after rounding, "
    "each model on its own grid."
)
# Both maps of colours are perceptually uniform and grow lighter throughout, for grey prints and for
# every common colour blindness. What lies beyond a scale is noise.
COSINE = "direction", "cosine of d and d′ (1: same direction)", 1.0, "viridis"
PROJECTION = "size", "projection of d′ on d, in units of d (1: full size)", 1.2, "cividis"
QUANTITIES = {"cosine_adaptive": COSINE, "projection_adaptive": PROJECTION}
UNCHANGED: dict[str, Any] = {"color": "#d4d4d4", "marker": "s", "linestyle": "", "markersize": 8}
UNCHANGED_NAME = "the update leaves this matrix alone"
HEIGHT, FOOT = 1.25, 1.4  # inches: of a panel; titles, names of modules and colour bar
MOST_LAYER_TICKS = 8


def plot(survival: Path, cells: Sequence[str], output: Path) -> None:
    """Draw cosine and projection (adaptive grid) of every matrix into a folder, PNG and PDF.

    A row of panels a precision; in each half a column a variant, so that variants stand side by
    side on one scale. The number above a panel is that of the whole model. A matrix that the
    update leaves alone is grey; a diverged model's panel says so.

    Args:
        survival: the folder of the measurements.
        cells: of one run, <corpus>/<objective>/<adapter>/seed<k>/<precision> each.
        output: gets `update_survival_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: a measurement is missing, does not parse, or is of another model.
    """
    models = measurements(survival, cells, ".csv", read_survival)
    first = next(iter(models))
    name = f"update_survival_{first.corpus}_{first.objective}"
    height = FOOT + HEIGHT * len({cell.precision for cell in models})
    with page(TITLE, HOW_TO_READ, height, output, name, run_name(first)) as body:
        halves = body.subfigures(1, len(QUANTITIES), squeeze=False)[0]
        for half, (column, looks) in zip(halves, QUANTITIES.items(), strict=True):
            _draw_half(half, models, column, *looks)


def grid(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Arrange a model's matrices: layers x modules; NaN where there is none or its update is 0.

    Those of one layer and name (experts, say) count as one.
    """
    groups = rows.groupby(["layer", "module"], sort=False)
    found = pd.Series({place: overall(own)[column] for place, own in groups}).unstack()
    return found[distinct(rows["module"])]


def _draw_half(
    half: SubFigure,
    models: Mapping[Cell, pd.DataFrame],
    column: str,
    what: str,
    label: str,
    limit: float,
    colours: str,
) -> None:
    """Draw one quantity: a row of panels a precision, a column a variant."""
    half.suptitle(f"Does its {what} arrive?", fontweight="bold", fontsize=10)
    image = ScalarMappable(Normalize(0, limit), colormaps[colours])
    precisions = distinct(cell.precision for cell in models)
    bands = [[cell for cell in models if cell.precision == name] for name in precisions]

    def title(cell: Cell) -> str:
        return adapter_name(cell.adapter).replace(" (", "\n(") if cell in bands[0] else ""

    drawn = panels(half, bands, {"": "layer"}, title)
    for (cell, _), axes in drawn.items():
        if axes.get_ylabel():
            axes.set_ylabel(f"{precision_name(cell.precision)}\nlayer")
        _draw_grid(axes, models[cell], column, image)
        axes.tick_params(length=0, labelbottom=cell in bands[-1])
    place: dict[str, Any] = {"location": "bottom", "pad": 0.02, "aspect": 40, "extend": "both"}
    bar = half.colorbar(image, ax=list(drawn.values()), label=label, **place)
    bar.outline.set_visible(False)  # type: ignore[operator]


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
    shown = "undefined" if np.isnan(whole) else f"{whole:.2f}"
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
