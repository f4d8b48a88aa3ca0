"""What rounding leaves of the update, matrix by matrix: layer by module, a panel a model."""

import math
from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import SubFigure
from numpy.typing import NDArray

from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, precision_name
from qunlearn.report.figures.page import page
from qunlearn.report.figures.panels import panels, update_name
from qunlearn.report.figures.readings import measured_cells
from qunlearn.survival.table import MatrixRow, overall, read_survival

TITLE = "How much of the update survives rounding?"
HOW_TO_READ = (
    "Update d = unlearned − target; arriving update d′ = the same difference after rounding, "
    "each model on its own grid."
)
# Both maps of colours are perceptually uniform and grow lighter throughout, for grey prints and for
# every common colour blindness. What lies beyond a scale is noise.
QUANTITIES = {
    "cosine_adaptive": ("direction", "cosine of d and d′ (1: same direction)", 1.0, "viridis"),
    "projection_adaptive": (
        "size",
        "projection of d′ on d, in units of d (1: full size)",
        1.2,
        "cividis",
    ),
}
UNCHANGED: dict[str, Any] = {"color": "#d4d4d4", "marker": "s", "linestyle": "", "markersize": 8}
UNCHANGED_NAME = "the update leaves this matrix alone"
LAYER_HEIGHT, LOWEST, HIGHEST = 0.2, 0.5, 1.6  # inches: of a layer, and of a panel
BETWEEN, FOOT = 0.42, 1.4  # inches: between panels; titles, names of modules and colour bar
MOST_LAYER_TICKS = 8


class Grid(NamedTuple):
    """The matrices of a model.

    Attributes:
        layers, modules: what the rows and columns are.
        values: [layers, modules]; NaN where there is no such matrix or its update is 0.
        whole: the value of the whole model; None where its update is 0.
    """

    layers: list[int]
    modules: list[str]
    values: NDArray[np.float64]
    whole: float | None


def plot(
    survival: Path,
    corpus: str,
    objective: str,
    seed: int,
    adapters: Sequence[str],
    precisions: Sequence[str],
    output: Path,
) -> None:
    """Draw cosine and projection (adaptive grid) of every matrix into a folder, PNG and PDF.

    A row of panels a precision; in each half a column a variant, so that variants stand side by
    side on one scale. The number above a panel is that of the whole model. A matrix that the
    update leaves alone is grey; a diverged model's panel says so.

    Args:
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        output: gets `update_survival_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: a measurement is missing, does not parse, or is of another model.
    """
    cells = measured_cells(survival, corpus, objective, seed, adapters, precisions)
    folders = {cell: survival / cell.corpus / cell.model for cell in cells}
    models = {c: read_survival(own / f"{c.precision}.csv") for c, own in folders.items()}
    layers = max(len({row.layer for row in rows}) for rows in models.values())
    tall = min(max(layers * LAYER_HEIGHT, LOWEST), HIGHEST) + BETWEEN
    height = FOOT + tall * len({cell.precision for cell in cells})
    name = f"update_survival_{corpus}_{objective}"
    with page(TITLE, HOW_TO_READ, height, output, name, update_name(cells[0])) as body:
        halves = body.subfigures(1, len(QUANTITIES), squeeze=False)[0]
        for half, column in zip(halves, QUANTITIES, strict=True):
            grids = {cell: grid(rows, column) for cell, rows in models.items()}
            _draw_half(half, grids, *QUANTITIES[column])


def grid(rows: Sequence[MatrixRow], column: str) -> Grid | None:
    """Arrange a model's matrices; those of one layer and name (experts, say) count as one.

    None for a diverged model, which has no rows.
    """
    if not rows:
        return None
    layers, modules = sorted({row.layer for row in rows}), distinct(row.module for row in rows)
    values = np.full((len(layers), len(modules)), math.nan)
    for y, layer in enumerate(layers):
        for x, module in enumerate(modules):
            own = [row for row in rows if (row.layer, row.module) == (layer, module)]
            found = overall(own)[column] if own else None
            values[y, x] = math.nan if found is None else found
    return Grid(layers, modules, values, overall(rows)[column])


def _draw_half(
    half: SubFigure,
    grids: dict[Cell, Grid | None],
    what: str,
    label: str,
    limit: float,
    colours: str,
) -> None:
    """Draw one quantity: a row of panels a precision, a column a variant."""
    half.suptitle(f"Does its {what} arrive?", fontweight="bold", fontsize=10)
    image = ScalarMappable(Normalize(0, limit), colormaps[colours])
    precisions = distinct(cell.precision for cell in grids)
    bands = [[cell for cell in grids if cell.precision == name] for name in precisions]

    def title(cell: Cell) -> str:
        return adapter_name(cell.adapter).replace(" (", "\n(") if cell in bands[0] else ""

    drawn = panels(half, bands, {"": "layer"}, title, sharey=False)
    for (cell, _), axes in drawn.items():
        if axes.get_ylabel():
            axes.set_ylabel(f"{precision_name(cell.precision)}\nlayer")
        _draw_grid(axes, grids[cell], image)
        axes.tick_params(length=0, labelbottom=cell in bands[-1])
    numbers = np.concatenate([[], *(own.values.ravel() for own in grids.values() if own)])
    ends = bool((numbers < 0).any()), bool((numbers > limit).any())
    arrows = {(True, True): "both", (True, False): "min", (False, True): "max"}
    place: dict[str, Any] = {"location": "bottom", "pad": 0.02, "aspect": 40}
    place["extend"] = arrows.get(ends, "neither")
    bar = half.colorbar(image, ax=list(drawn.values()), label=label, **place)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _draw_grid(axes: Axes, found: Grid | None, image: ScalarMappable) -> None:
    """Draw a model's matrices below its number as a whole."""
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    axes.xaxis.set_label_position("top")
    if found is None:
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel("diverged", loc="left", fontsize=8, color="#666666")
        return
    whole = "undefined" if found.whole is None else f"{found.whole:.2f}"
    axes.set_xlabel(f"overall {whole}", loc="left", fontsize=8)
    axes.set_facecolor(UNCHANGED["color"])
    if np.isnan(found.values).any():
        axes.plot([], [], **UNCHANGED, label=UNCHANGED_NAME)
    style: dict[str, Any] = {"norm": image.norm, "cmap": image.cmap, "edgecolor": "white"}
    axes.pcolormesh(found.values, **style, linewidth=0.3)
    axes.invert_yaxis()  # the first layer on top
    shown = range(0, len(found.layers), ceil(len(found.layers) / MOST_LAYER_TICKS))
    axes.set_yticks([y + 0.5 for y in shown], [str(found.layers[y]) for y in shown])
    names = [module.removesuffix("_proj") for module in found.modules]  # of `q_proj`, `q` will do
    axes.set_xticks([x + 0.5 for x in range(len(names))], names, rotation=90)
