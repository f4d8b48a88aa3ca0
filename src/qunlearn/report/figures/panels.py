"""The panels of a figure: a grid of axes, what of the scores they show, and names beside lines."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import (
    LINES,
    REFERENCE_LINES,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.report.figures.page import page
from qunlearn.run.errors import InputError

T = TypeVar("T")
Place = TypeVar("Place", bound=Hashable)
Summaries = Mapping[Key, Summary]
Column = tuple[str, str]
"""A corpus and an objective."""
MOST_COLUMNS = 4
BAND = 0.55  # inches: title and ticks of a band of panels
LETTERS = 100  # of tick labels in a row over all panels, from which they are slanted


@dataclass(frozen=True)
class Shown:
    """What of the scores a figure shows, in the order of the scores.

    Attributes:
        columns: a column of panels each.
        adapters: the variants, in the legend's order.
        precisions: from fine to coarse.
    """

    columns: list[Column]
    adapters: list[str]
    precisions: list[str]

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> "Shown":
        """What `cells` hold of the variants that have a look of their own: no controls.

        Raises:
            InputError: nothing.
        """
        own = [cell for cell in cells if cell.adapter in LINES]
        if not own:
            known = ", ".join(LINES)
            raise InputError(f"metrics: no unlearned model to draw; evaluate an adapter of {known}")
        return cls(
            distinct((cell.corpus, cell.objective) for cell in own),
            [adapter for adapter in LINES if any(cell.adapter == adapter for cell in own)],
            distinct(cell.precision for cell in own),
        )

    def has(self, key: Key) -> bool:
        """Whether `key` is of a variant, target or retrain at one of the precisions."""
        known = key.adapter in self.adapters or key.objective in REFERENCE_LINES
        return known and key.precision in self.precisions

    def over(self, summaries: Summaries, key: Key) -> dict[int, Summary]:
        """Index of the precision -> summary, of those precisions that were run."""
        keys = [key._replace(precision=precision) for precision in self.precisions]
        return {x: summaries[own] for x, own in enumerate(keys) if own in summaries}


@contextmanager
def sheet(
    words: tuple[str, str],
    columns: Sequence[Column],
    rows: Mapping[str, str],
    height: float,
    folder: Path,
    name: str,
    xlabel: str = "",
    abreast: int = MOST_COLUMNS,
) -> Iterator[dict[tuple[Column, str], Axes]]:
    """Yield a page of panels to draw in, a row a metric, then write it.

    Args:
        words: title, and how to read the figure.
        rows: metric -> name of the y axis.
        height: of a panel, in inches.
        xlabel: below all panels.
        abreast: the most columns in a band; more are cut into bands of one corpus each.
    """
    cut = bands(columns, abreast)
    with page(*words, len(cut) * (BAND + height * len(rows)), folder, name) as body:
        body.supxlabel(xlabel, fontsize=8.5)
        yield panels(body, cut, rows, column_name)


def panels(
    figure: SubFigure,
    bands: Sequence[Sequence[Place]],
    rows: Mapping[str, str],
    title: Callable[[Place], str],
    sharey: bool = True,
) -> dict[tuple[Place, str], Axes]:
    """Add a panel for each place of each band and each row; those of a row share their y axis.

    Args:
        bands: one below the other; places stand side by side.
        rows: of a band: key -> name of the y axis, which only the first column has.
        title: above the first row.
    """
    grid = figure.add_gridspec(len(bands) * len(rows), max(map(len, bands)))
    drawn: dict[tuple[Place, str], Axes] = {}
    first: dict[str, Axes] = {}
    for above, band in enumerate(bands):
        for column, place in enumerate(band):
            for index, (row, name) in enumerate(rows.items()):
                cell = grid[above * len(rows) + index, column]
                axes = figure.add_subplot(cell, sharey=first.get(row) if sharey else None)
                first.setdefault(row, axes)
                drawn[place, row] = axes
                axes.tick_params(labelleft=column == 0, labelbottom=index == len(rows) - 1)
                axes.set_ylabel(name if column == 0 else "")
                axes.set_title(title(place) if index == 0 else "")
    figure.align_ylabels([axes for axes in drawn.values() if axes.get_ylabel()])
    return drawn


def column_name(column: Column) -> str:
    """`NEWS · NPO+GDR`."""
    corpus, objective = column
    return f"{corpus_name(corpus)} · {method_name(objective)}"


def update_name(cell: Cell) -> str:
    """`NEWS · NPO+GDR · seed 0`."""
    return f"{column_name((cell.corpus, cell.objective))} · seed {cell.seed}"


def bands(columns: Sequence[Column], abreast: int = MOST_COLUMNS) -> list[list[Column]]:
    """Cut columns into bands: one where all fit, else bands of one corpus."""
    if len(columns) <= abreast:
        return [list(columns)]
    own = [[c for c in columns if c[0] == corpus] for corpus in distinct(c for c, _ in columns)]
    return [band for corpus in own for band in even_bands(corpus, abreast)]


def even_bands(items: Sequence[T], abreast: int = MOST_COLUMNS) -> list[list[T]]:
    """Cut `items` into as few bands as it takes, of even length."""
    size = ceil(len(items) / ceil(len(items) / abreast))
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def set_precisions(axes: Axes, precisions: Sequence[str]) -> None:
    """Put the precisions on the x axis, slanted where there is little room."""
    names = [precision_name(precision) for precision in precisions]
    longest = max(len(part) for name in names for part in name.split())
    axes.set_xlim(-0.4, len(names) - 0.6)
    if panels_abreast(axes) * len(names) * longest > LETTERS:
        slanted: Any = {"rotation": 40, "rotation_mode": "anchor", "ha": "right"}
        axes.set_xticks(range(len(names)), names, **slanted)
    else:
        axes.set_xticks(range(len(names)), [name.replace(" ", "\n") for name in names])


def panels_abreast(axes: Axes) -> int:
    """How many columns of panels the figure has."""
    grid = axes.get_gridspec()
    return grid.ncols if grid else 1


def apart(wanted: Sequence[float], gap: float, high: float = 1.0) -> list[float]:
    """Push ascending positions up, and from `high` down again, until they are `gap` apart."""
    moved: list[float] = []
    for position in wanted:
        moved.append(max([position, *(last + gap for last in moved[-1:])]))
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], high)
        high = moved[index] - gap
    return moved


def name_at_right(axes: Axes, names: Mapping[str, tuple[float, str]]) -> None:
    """Write names right of the last column, each at its value and in its colour."""
    place = axes.get_subplotspec()
    if place is None or not place.is_last_col():
        return
    low, high = axes.get_ylim()
    ends = sorted((value, name, colour) for name, (value, colour) in names.items())
    heights = apart([(value - low) / (high - low) for value, _, _ in ends], 0.12)
    for (_, name, colour), height in zip(ends, heights, strict=True):
        text = axes.text(1.012, height, name, transform=axes.transAxes, color=colour, fontsize=8)
        text.set_verticalalignment("center")


def counted(found: Iterable[Summary]) -> str:
    """`n = 8 to 24 items, 3 seeds`: behind the numbers of a figure."""
    kept = [(own.n, own.seeds) for own in found if own.n is not None]
    if not kept:
        return "no number"
    items, seeds = sorted({n for n, _ in kept}), max(seeds for _, seeds in kept)
    span = f"{items[0]} to {items[-1]}" if len(items) > 1 else items[0]
    return f"n = {span} items, {seeds} seed{'s' * (seeds > 1)}"
