"""What rounding leaves of the update, matrix by matrix: layer by module, a panel a model."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, precision_name
from qunlearn.report.figures.house import FONT, MARGIN, WIDTH, head, legend, save
from qunlearn.report.figures.layout import panel, write
from qunlearn.report.figures.measured import matrices_file, update_name
from qunlearn.run.errors import InputError
from qunlearn.survival.table import MatrixRow, Overall, overall, read_survival

TITLE = "How much of the update survives rounding?"
HOW_TO_READ = (
    "Update d = unlearned − target; arriving update d′ = the same difference after rounding, "
    "each model on its own grid."
)
UNCHANGED = {"color": "#d4d4d4", "marker": "s", "linestyle": "", "markersize": 8}
UNCHANGED_NAME = "the update leaves this matrix alone"
# Inches.
LEFT, HEAD, GAP, HALF_GAP, ABOVE = 1.12, 1.62, 0.1, 0.32, 0.24
LAYER_HEIGHT, LOWEST_PANEL, HIGHEST_PANEL = 0.2, 0.5, 1.6
BAR_DROP, BAR_HEIGHT, BAR_LABELS = 0.1, 0.1, 0.42
POINTS_A_LETTER = 4.9
MOST_LAYER_TICKS = 8


@dataclass(frozen=True)
class Quantity:
    """One half of the figure: a column of `MatrixRow` on one scale of colours.

    Both maps are perceptually uniform and grow lighter throughout, for grey prints and for every
    common colour blindness. The shares lie in [0, limit] but for noise, which the colour bar's
    arrows stand for.
    """

    column: str
    title: str
    label: str
    limit: float
    colours: str


QUANTITIES = (
    Quantity(
        "cosine_adaptive",
        "Does its direction arrive?",
        "cosine of d and d′ (1: same direction)",
        1.0,
        "viridis",
    ),
    Quantity(
        "projection_adaptive",
        "Does its size arrive?",
        "projection of d′ on d, in units of d (1: full size)",
        1.2,
        "cividis",
    ),
)


@dataclass(frozen=True)
class Grid:
    """The matrices of a model as a grid.

    Attributes:
        layers, modules: what the rows and columns are.
        values: [layers, modules]; NaN where there is no such matrix or its update is 0.
        whole: the value of the whole model; None where its update is 0.
    """

    layers: tuple[int, ...]
    modules: tuple[str, ...]
    values: NDArray[np.float64]
    whole: float | None


def plot_update_survival(survival: Path, cells: Sequence[Cell], folder: Path) -> None:
    """Draw cosine and projection (adaptive grid) of every matrix into `folder`, as PNG and PDF.

    A row of panels a precision; in each half a column a variant, so that variants stand side by
    side on one scale. The number above a panel is that of the whole model. A matrix that the
    update leaves alone is grey; a diverged model's panel says so.

    Args:
        survival: the folder of the measurements.
        cells: of one corpus, objective and seed.
        folder: gets `update_survival_<corpus>_<objective>.png` and `.pdf`.

    Raises:
        InputError: `cells` are none, or a measurement is missing or does not parse.
    """
    if not cells:
        raise InputError("adapters, precisions: none given; name at least one of each")
    rows = {cell: read_survival(matrices_file(survival, cell)) for cell in cells}
    with rc_context(FONT):
        name = f"update_survival_{cells[0].corpus}_{cells[0].objective}"
        save(_draw(rows), folder, name)


def grid(rows: Sequence[MatrixRow], column: str) -> Grid:
    """Arrange a model's matrices; those of one layer and name (experts, say) count as one."""
    layers = tuple(sorted({row.layer for row in rows}))
    modules = tuple(distinct(row.module for row in rows))
    groups: dict[tuple[int, str], list[MatrixRow]] = {}
    for row in rows:
        groups.setdefault((row.layer, row.module), []).append(row)
    values = np.full((len(layers), len(modules)), math.nan)
    for (layer, module), group in groups.items():
        value = _figure(group[0] if len(group) == 1 else overall(group), column)
        if value is not None:
            values[layers.index(layer), modules.index(module)] = value
    return Grid(layers, modules, values, _figure(overall(rows), column))


def _draw(models: dict[Cell, list[MatrixRow]]) -> Figure:
    layers = max(len({row.layer for row in rows}) for rows in models.values())
    names = {_short(row.module) for rows in models.values() for row in rows}
    tall = min(max(layers * LAYER_HEIGHT, LOWEST_PANEL), HIGHEST_PANEL)
    bottom = HEAD + len(distinct(cell.precision for cell in models)) * (tall + ABOVE)
    bottom += 0.1 + max(map(len, names), default=0) * POINTS_A_LETTER / 72
    figure = Figure(figsize=(WIDTH, bottom + BAR_DROP + BAR_HEIGHT + BAR_LABELS))
    half = (WIDTH - LEFT - MARGIN - (len(QUANTITIES) - 1) * HALF_GAP) / len(QUANTITIES)
    marks = {}
    for index, quantity in enumerate(QUANTITIES):
        grids = {cell: grid(rows, quantity.column) for cell, rows in models.items() if rows}
        left = LEFT + index * (half + HALF_GAP)
        write(figure, left, HEAD - 0.62, quantity.title, fontweight="bold", fontsize=10)
        image = _draw_half(figure, list(models), grids, quantity, (left, half, tall), index == 0)
        bar = panel(figure, left, bottom + BAR_DROP, half, BAR_HEIGHT)
        _draw_bar(figure, image, bar, quantity, grids.values())
        if any(np.isnan(found.values).any() for found in grids.values()):
            marks[UNCHANGED_NAME] = UNCHANGED
    head(figure, TITLE, HOW_TO_READ, update_name(next(iter(models))))
    if marks:
        legend(figure, marks, "upper left", 0.66)
    return figure


def _draw_half(
    figure: Figure,
    cells: Sequence[Cell],
    grids: dict[Cell, Grid],
    quantity: Quantity,
    box: tuple[float, float, float],
    first: bool,
) -> ScalarMappable:
    """Draw one quantity's panels from `box`: left, the half's width, a panel's height (inches)."""
    left, half, tall = box
    precisions = distinct(cell.precision for cell in cells)
    adapters = distinct(cell.adapter for cell in cells)
    wide = (half - (len(adapters) - 1) * GAP) / len(adapters)
    norm, colours = Normalize(0, quantity.limit), colormaps[quantity.colours]
    for cell in cells:
        row, column = precisions.index(cell.precision), adapters.index(cell.adapter)
        x, y = left + column * (wide + GAP), HEAD + row * (tall + ABOVE)
        if row == 0:
            name = adapter_name(cell.adapter).replace(" (", "\n(")
            write(figure, x, y - 0.23, name, fontsize=8, fontweight="bold")
        if first and column == 0:
            name = precision_name(cell.precision).replace(" ", "\n")
            write(figure, MARGIN, y, name, fontweight="bold", verticalalignment="top")
        if cell not in grids:
            write(figure, x, y, "diverged", verticalalignment="top", color="#666666")
            continue
        found = grids[cell]
        whole = "undefined" if found.whole is None else f"{found.whole:.2f}"
        write(figure, x, y - 0.04, f"overall {whole}", fontsize=8)
        axes = panel(figure, x, y, wide, tall, facecolor=UNCHANGED["color"])
        axes.pcolormesh(found.values, norm=norm, cmap=colours, edgecolor="white", linewidth=0.3)
        _set_ticks(axes, found, first and column == 0, row == len(precisions) - 1)
    return ScalarMappable(norm, colours)


def _set_ticks(axes: Axes, found: Grid, layers: bool, modules: bool) -> None:
    """Name the layers and the modules where the panel stands at the left, at the bottom."""
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()  # the first layer on top
    every = ceil(len(found.layers) / MOST_LAYER_TICKS)
    shown = range(0, len(found.layers), every)
    axes.set_yticks([y + 0.5 for y in shown], [str(found.layers[y]) for y in shown])
    axes.set_xticks(
        [x + 0.5 for x in range(len(found.modules))], map(_short, found.modules), rotation=90
    )
    axes.tick_params(length=0, labelleft=layers, labelbottom=modules)
    if layers:
        axes.set_ylabel("layer", fontsize=8)


def _draw_bar(
    figure: Figure, image: ScalarMappable, axes: Axes, quantity: Quantity, grids: Iterable[Grid]
) -> None:
    """Draw the scale; an arrow at an end says that some matrix lies beyond it."""
    numbers = np.concatenate([found.values.ravel() for found in grids] or [np.empty(0)])
    below, above = bool((numbers < 0).any()), bool((numbers > quantity.limit).any())
    extend: Literal["neither", "both", "min", "max"] = (
        "both" if below and above else "min" if below else "max" if above else "neither"
    )
    bar = figure.colorbar(image, cax=axes, orientation="horizontal", extend=extend)
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.set_label(quantity.label)


def _short(module: str) -> str:
    """`q_proj` -> `q`: that it is a projection, most names say and none needs to."""
    return module.removesuffix("_proj")


def _figure(whole: Overall | MatrixRow, column: str) -> float | None:
    value: float | None = getattr(whole, column)
    return value
