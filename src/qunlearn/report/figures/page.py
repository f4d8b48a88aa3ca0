"""The page of every figure: title, how to read it, legend, and the bytes of its files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

WIDTH = 9.0  # inches: the smallest letters are about 11 pixels high on a page of 900 pixels
HEAD = 0.95  # inches: title, how to read the figure, and a row of the legend
LEFT = 0.008  # of the width
LETTERS = 90  # of labels in the legend's first row of five, at most; else it has three a row
STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#999999",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "grid.color": "#ebebeb",
    "grid.linewidth": 0.6,
    "xtick.major.size": 2.5,
    "xtick.color": "#999999",
    "xtick.labelcolor": "#222222",
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.frameon": False,
    "legend.borderpad": 0,
    "legend.borderaxespad": 0.6,
    "legend.columnspacing": 1.1,
    "legend.handlelength": 2.3,
    "legend.title_fontsize": 9,
    "figure.constrained_layout.h_pad": 0.09,
    "figure.constrained_layout.w_pad": 0.07,
    "figure.constrained_layout.hspace": 0.0,
    "figure.constrained_layout.wspace": 0.0,
    "pdf.fonttype": 42,
}
GREY: dict[str, Any] = {"color": "#444444", "linestyle": ""}
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.3}
MARKS: dict[str, dict[str, Any]] = {
    "off the scale": GREY | HOLLOW | {"marker": "o", "markersize": 5},
    "a run diverged": GREY | {"marker": "x", "markersize": 5.5, "markeredgewidth": 1.6},
    "undefined: not forgotten": GREY | {"marker": "$?$", "markersize": 6},
}
"""Labels of what stands where there is no number, and their looks in the legend."""


@contextmanager
def page(
    title: str, how_to_read: str, height: float, folder: Path, name: str, whose: str = ""
) -> Iterator[SubFigure]:
    """Yield a subfigure to draw in, then write `<name>.png` and `<name>.pdf` into `folder`.

    The legend explains every artist that has a label, each label once. Panels get the room that
    title, legend and their own labels leave. The same drawing gives the same bytes.

    Args:
        height: of the panels, in inches.
        whose: what is drawn, for the upper right corner.
    """
    with rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEAD + height), layout="constrained")
        figure.suptitle(title, x=LEFT, ha="left", fontsize=14, fontweight="bold")
        figure.text(1 - LEFT, 0.985, whose, ha="right", va="top", fontsize=9.5, fontweight="bold")
        body: SubFigure = figure.subfigures()  # type: ignore[assignment]
        yield body
        _add_legend(figure, body, how_to_read)
        save(figure, folder, name)


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
