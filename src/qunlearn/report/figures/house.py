"""The house style of all figures: fonts, the head with its legend, and how a figure is saved."""

import io
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

WIDTH = 9.0  # inches: the smallest letters are about 11 pixels high on a page of 900 pixels
MARGIN = 0.12  # inches, at the edges of a figure
FONT: Any = {
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
    "grid.color": "#ebebeb",
    "grid.linewidth": 0.6,
    "xtick.major.size": 2.5,
    "xtick.color": "#999999",
    "xtick.labelcolor": "#222222",
    "ytick.major.size": 0,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}


def head(figure: Figure, title: str, how_to_read: str, whose: str = "") -> None:
    """Write the title, below it how to read the figure, and in the corner whose update it is."""
    height, left = figure.get_figheight(), MARGIN / WIDTH
    figure.text(left, 1 - MARGIN / height, title, va="top", fontsize=14, fontweight="bold")
    figure.text(left, 1 - 0.42 / height, how_to_read, va="top", fontsize=9, color="#333333")
    figure.text(1 - left, 1 - 0.3 / height, whose, ha="right", fontsize=9.5, fontweight="bold")


def legend(
    figure: Figure,
    entries: dict[str, dict[str, Any]],
    corner: Literal["upper left", "upper right"],
    top: float,
) -> None:
    """Put a legend in one row, `top` inches below the upper edge: names and Line2D's keywords."""
    x = MARGIN / WIDTH if corner == "upper left" else 1 - MARGIN / WIDTH
    figure.legend(
        handles=[Line2D([], [], label=label, **style) for label, style in entries.items()],
        loc=corner,
        bbox_to_anchor=(x, 1 - top / figure.get_figheight()),
        borderpad=0,
        borderaxespad=0,
        ncols=len(entries),
        columnspacing=1.1,
        handlelength=2.3,
    )


def save(figure: Figure, folder: Path, name: str) -> None:
    """Write `<name>.png` and `<name>.pdf` into `folder`: the same figure gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix, dpi=200, metadata=metadata)
        work = folder / f".{name}.{suffix}.partial"
        work.write_bytes(stream.getvalue())
        work.replace(folder / f"{name}.{suffix}")
