"""The page of every figure: a grid of panels below a title, how to read it and one legend."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil
from pathlib import Path
from typing import Any, TypeVar

import yaml
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from qunlearn.experiment.labels import corpus_name, method_name
from qunlearn.experiment.names import Cell

Place = TypeVar("Place", bound=Hashable)
Column = tuple[str, str]
"""A corpus and an objective."""
WIDTH = 9.0  # inches: the smallest letters are about 11 pixels high on a page of 900 pixels
HEAD = 0.95  # inches: title, how to read the figure, and a row of the legend
BAND = 0.55  # inches: title and ticks of a band of panels
MOST_COLUMNS = 4
LEFT = 0.008  # of the width
LETTERS = 90  # of labels in the legend's first row of five, at most; else it has three a row
STYLE, WORDS = (Path(__file__).with_name(name) for name in ("page.mplstyle", "figures.yaml"))
FIGURES: dict[str, dict[str, Any]] = yaml.safe_load(WORDS.read_text(encoding="utf-8"))
GREY: dict[str, Any] = {"color": "#444444", "linestyle": ""}
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.3}
MARKS: dict[str, dict[str, Any]] = {
    "off the scale": GREY | HOLLOW | {"marker": "o", "markersize": 5},
    "a run diverged": GREY | {"marker": "x", "markersize": 5.5, "markeredgewidth": 1.6},
    "undefined: not forgotten": GREY | {"marker": "$?$", "markersize": 6},
}
"""Labels of what stands where there is no number, and their looks in the legend."""


def column_name(column: Column) -> str:
    """`NEWS · NPO+GDR`."""
    return f"{corpus_name(column[0])} · {method_name(column[1])}"


@contextmanager
def sheet(
    figure_name: str,
    places: Sequence[Place],
    folder: Path,
    counted: str = "",
    title: Callable[[Any], str] = column_name,
    abreast: int = MOST_COLUMNS,
    words: Mapping[str, Any] | None = None,
    run: Cell | None = None,
) -> Iterator[dict[tuple[Place, str], Axes]]:
    """Yield panels to draw in, then write a PNG and a PDF file named as the figure into `folder`.

    Title and names of scales stand at the first panels of a column and band. The legend explains
    every artist that has a label, each label once. The same drawing gives the same bytes.

    Args:
        figure_name: a key of FIGURES, or of a figure whose `words` are given.
        places: a column of panels each, in as few bands as it takes, of even length.
        counted: what stands for `%s` in how to read the figure.
        title: of a column.
        abreast: the most columns.
        words: those of FIGURES or instead of them.
        run: what alone is drawn, for the upper right corner and the files' names.
    """
    words = FIGURES.get(figure_name, {}) | dict(words or {})
    rows = words["rows"]  # of a band: key -> name of the y axis
    size = ceil(len(places) / ceil(len(places) / abreast))
    bands = [places[start : start + size] for start in range(0, len(places), size)]
    with rc_context(fname=STYLE):
        inches = WIDTH, HEAD + len(bands) * (BAND + words["height"] * len(rows))
        figure = Figure(figsize=inches, layout="constrained")
        figure.suptitle(words["title"], x=LEFT, ha="left", fontsize=14, fontweight="bold")
        if run is not None:
            figure_name = f"{figure_name}_{run.corpus}_{run.objective}"
            name = f"{column_name((run.corpus, run.objective))} · seed {run.seed}"
            place: dict[str, Any] = {"ha": "right", "va": "top", "fontweight": "bold"}
            figure.text(1 - LEFT, 0.985, name, **place, fontsize=9.5)
        body: SubFigure = figure.subfigures()  # type: ignore[assignment]
        grid = body.subplots(len(bands) * len(rows), size, squeeze=False)
        drawn: dict[tuple[Place, str], Axes] = {}
        for at, (band, row) in enumerate((band, row) for band in bands for row in rows):
            first, last = row == next(iter(rows)), row == list(rows)[-1]
            grid[at, 0].set_ylabel(rows[row])
            for column, axes in zip(band, grid[at], strict=False):
                drawn[column, row] = axes
                axes.set_title(title(column) if first else "")
                axes.tick_params(labelleft=axes is grid[at, 0], labelbottom=last)
            for axes in grid[at, len(band) :]:
                axes.remove()
        body.align_ylabels()
        yield drawn
        _add_legend(figure, body, words["how_to_read"].replace("%s", counted))
        save(figure, folder, figure_name)


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write the figure's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        work = folder / f".{name}.{suffix}.partial"
        figure.savefig(work, format=suffix, dpi=200, metadata=metadata)
        work.replace(folder / f"{name}.{suffix}")


def _add_legend(figure: Figure, body: SubFigure, how_to_read: str) -> None:
    """Explain all labels row by row, marks last."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    handles |= {name: Line2D([], [], **MARKS[name]) for name in MARKS if name in handles}
    labels = sorted(handles, key=lambda label: label in MARKS)
    columns = 5 if sum(map(len, labels[:5])) <= LETTERS else 3
    # matplotlib fills column by column; a reader reads row by row.
    order = [label for start in range(columns) for label in labels[start::columns]]
    place: dict[str, Any] = {"loc": "outside upper left", "alignment": "left", "ncols": columns}
    body.legend([handles[label] for label in order], order, title=how_to_read, **place)
