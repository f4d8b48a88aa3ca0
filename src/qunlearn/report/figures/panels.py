"""The panels of a figure: a grid of axes, and what of the summaries they show."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import SubFigure

from qunlearn.analysis.lineage import check_measurements
from qunlearn.analysis.summary import Key, Summary, distinct, summaries
from qunlearn.experiment.labels import (
    LINES,
    REFERENCE_LINES,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.experiment.names import Cell
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.page import page
from qunlearn.run.errors import InputError

T = TypeVar("T")
Place = TypeVar("Place", bound=Hashable)
Column = tuple[str, str]
"""A corpus and an objective."""
MOST_COLUMNS = 4
BAND = 0.55  # inches: title and ticks of a band of panels
TICKS = 12  # precisions named along a row of panels, from which their names are slanted


@dataclass(frozen=True)
class Shown:
    """What of a `summary.csv` a figure shows, in its order.

    Attributes:
        found: the variants that have a look of their own (no controls), target and retrain.
        columns: a column of panels each.
        adapters: the variants, in the legend's order.
        precisions: from fine to coarse.
    """

    found: dict[Key, Summary]
    columns: list[Column]
    adapters: list[str]
    precisions: list[str]

    @classmethod
    def of(cls, summary: Path, metrics: Collection[str], midrise: bool = False) -> "Shown":
        """Read the summaries of some metrics.

        Args:
            midrise: whether mid-rise grids, which are controls, are shown too.

        Raises:
            InputError: the file does not parse, or holds no such variant.
        """
        found = {
            key: own
            for key, own in summaries(summary).items()
            if key.metric in metrics
            and (key.adapter in LINES or key.objective in REFERENCE_LINES)
            and (midrise or not Precision.parse(key.precision).midrise)
        }
        own = [key for key in found if key.adapter in LINES]
        if not own:
            known = ", ".join(LINES)
            raise InputError(f"{summary}: no unlearned model to draw; evaluate one of {known}")
        return cls(
            found,
            distinct((key.corpus, key.objective) for key in own),
            [adapter for adapter in LINES if any(key.adapter == adapter for key in own)],
            distinct(key.precision for key in own),
        )

    def over(self, key: Key, places: Mapping[str, float] | None = None) -> dict[float, Summary]:
        """Place -> summary of `key` at each precision that was run; by default its index."""
        if places is None:
            places = {name: x for x, name in enumerate(self.precisions)}
        keys = {x: key._replace(precision=name) for name, x in places.items()}
        return {x: self.found[own] for x, own in keys.items() if own in self.found}


def column_name(column: Column) -> str:
    """`NEWS · NPO+GDR`."""
    return f"{corpus_name(column[0])} · {method_name(column[1])}"


@contextmanager
def sheet(
    words: tuple[str, str],
    places: Sequence[Place],
    rows: Mapping[str, str],
    height: float,
    folder: Path,
    file: str,
    title: Callable[[Any], str] = column_name,
    abreast: int = MOST_COLUMNS,
    whose: str = "",
) -> Iterator[dict[tuple[Place, str], Axes]]:
    """Yield a page of panels to draw in, then write it.

    Args:
        words: title, and how to read the figure.
        places: a column of panels each, in as few bands as it takes, of even length.
        rows: of a band: key -> name of the y axis.
        height: of a panel, in inches.
        title: of a column.
        abreast: the most columns.
        whose: what is drawn, for the upper right corner.
    """
    size = ceil(len(places) / ceil(len(places) / abreast))
    bands = [places[start : start + size] for start in range(0, len(places), size)]
    with page(*words, len(bands) * (BAND + height * len(rows)), folder, file, whose) as body:
        yield panels(body, bands, rows, title)


def panels(
    figure: SubFigure,
    bands: Sequence[Sequence[Place]],
    rows: Mapping[str, str],
    title: Callable[[Place], str],
) -> dict[tuple[Place, str], Axes]:
    """Add a panel for each place of each band and each row; scales and names are the first's."""
    shape = len(bands) * len(rows), max(map(len, bands))
    lines = iter(figure.subplots(*shape, squeeze=False))
    drawn: dict[tuple[Place, str], Axes] = {}
    for band in bands:
        for row, name in rows.items():
            line = list(next(lines))
            line[0].set_ylabel(name)
            for place, axes in zip(band, line, strict=False):
                drawn[place, row] = axes
                axes.set_title(title(place) if row == next(iter(rows)) else "")
                axes.tick_params(labelleft=axes is line[0], labelbottom=row == list(rows)[-1])
            for axes in line[len(band) :]:
                axes.remove()
    figure.align_ylabels()
    return drawn


def run_name(cell: Cell) -> str:
    """`NEWS · NPO+GDR · seed 0`."""
    return f"{column_name((cell.corpus, cell.objective))} · seed {cell.seed}"


def panels_abreast(axes: Axes) -> int:
    """How many columns of panels the figure has."""
    grid = axes.get_gridspec()
    return grid.ncols if grid else 1


def set_precisions(axes: Axes, precisions: Sequence[str]) -> None:
    """Put the precisions on the x axis, slanted where there is little room."""
    names = [precision_name(precision) for precision in precisions]
    slanted: dict[str, Any] = {"rotation": 40, "rotation_mode": "anchor", "ha": "right"}
    if panels_abreast(axes) * len(names) <= TICKS:
        names, slanted = [name.replace(" ", "\n") for name in names], {}
    axes.set_xticks(range(len(names)), names, **slanted)
    axes.set_xlim(-0.4, len(names) - 0.6)


def apart(wanted: Sequence[float], gap: float) -> list[float]:
    """Push ascending positions up, and from 1 down again, until they are `gap` apart."""
    moved: list[float] = []
    for position in wanted:
        moved.append(max([position, *(last + gap for last in moved[-1:])]))
    high = 1.0
    for index in reversed(range(len(moved))):
        high = moved[index] = min(moved[index], high)
        high -= gap
    return moved


def counted(found: Iterable[Summary]) -> str:
    """`n = 8 to 24 items, 3 seeds`: behind the numbers of a figure."""
    kept = [(own.n, own.seeds) for own in found if own.n is not None]
    if not kept:
        return "no number"
    low, high = min(kept)[0], max(kept)[0]
    seeds = max(seeds for _, seeds in kept)
    span = f"{low} to {high}" if low < high else low
    return f"n = {span} items, {seeds} seed{'s' * (seeds > 1)}"


def measurements(
    survival: Path, names: Sequence[str], suffix: str, read: Callable[[Path], T]
) -> dict[Cell, T]:
    """What was measured of each cell; nothing of a diverged one.

    Raises:
        InputError: a measurement is missing, does not parse or is of another model.
    """
    cells = [Cell.parse(name) for name in names]
    check_measurements(survival, cells)
    return {c: read(survival / c.corpus / c.model / f"{c.precision}{suffix}") for c in cells}
