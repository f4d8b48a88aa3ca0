"""Where panels and labels stand, in inches from the upper left corner of a figure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import corpus_name, method_name
from qunlearn.report.figures.house import WIDTH

T = TypeVar("T")
MOST_COLUMNS = 4
NAME_LEFT = 0.45  # inches, from the axes to the name of their y axis


@dataclass(frozen=True)
class Sheet:
    """A page of panels: a row each metric, a column each corpus and objective. All in inches.

    Attributes:
        bands: rows of (corpus, objective) columns, of `bands`.
        rows: metric -> name of its y axis.
        left, right, head: from the outer panels to the edges of the figure.
        title, foot: above and below the panels of a band.
        height: of a panel.
        across, down: between panels.
    """

    bands: Sequence[Sequence[tuple[str, str]]]
    rows: Mapping[str, str]
    left: float
    right: float
    head: float
    title: float
    foot: float
    height: float
    across: float
    down: float

    @property
    def width(self) -> float:
        """Of a panel."""
        columns = max(map(len, self.bands))
        return (WIDTH - self.left - self.right - (columns - 1) * self.across) / columns

    def draw(self) -> tuple[Figure, dict[tuple[str, str, str], Axes]]:
        """An empty figure, and its panels by corpus, objective and metric.

        All panels of a metric share their y axis, which is named and labelled in the first column.
        """
        panels = len(self.rows) * (self.height + self.down) - self.down
        band = self.title + panels + self.foot
        figure = Figure(figsize=(WIDTH, self.head + len(self.bands) * band))
        drawn: dict[tuple[str, str, str], Axes] = {}
        first: dict[str, Axes] = {}
        for index, columns in enumerate(self.bands):
            top = self.head + index * band + self.title
            for column, (corpus, objective) in enumerate(columns):
                left = self.left + column * (self.width + self.across)
                for place, (metric, name) in enumerate(self.rows.items()):
                    y = top + place * (self.height + self.down)
                    shared = first.get(metric)
                    axes = panel(figure, left, y, self.width, self.height, sharey=shared)
                    drawn[corpus, objective, metric] = axes
                    first.setdefault(metric, axes)
                    axes.tick_params(labelleft=column == 0)
                    if column == 0:
                        axes.set_ylabel(name)
                        axes.yaxis.set_label_coords(-NAME_LEFT / self.width, 0.5)
                    if place == 0:
                        title = f"{corpus_name(corpus)} · {method_name(objective)}"
                        axes.set_title(title, loc="left", fontsize=9.5, fontweight="bold")
        return figure, drawn


def panel(
    figure: Figure, left: float, top: float, width: float, height: float, **keywords: Any
) -> Axes:
    """New axes, `left` and `top` inches from the figure's upper left corner."""
    whole_width, whole_height = figure.get_size_inches()
    bottom = whole_height - top - height
    box = left / whole_width, bottom / whole_height, width / whole_width, height / whole_height
    return figure.add_axes(box, **keywords)


def write(figure: Figure, left: float, top: float, text: str, **keywords: Any) -> None:
    """Write `text` on a line `left` and `top` inches from the figure's upper left corner."""
    width, height = figure.get_size_inches()
    figure.text(left / width, 1 - top / height, text, **keywords)


def bands(columns: Sequence[tuple[str, str]]) -> tuple[tuple[tuple[str, str], ...], ...]:
    """Cut (corpus, objective) columns into rows: one where all fit, else rows of one corpus."""
    if len(columns) <= MOST_COLUMNS:
        return (tuple(columns),)
    own = [[c for c in columns if c[0] == corpus] for corpus in distinct(c for c, _ in columns)]
    return tuple(band for corpus in own for band in even_rows(corpus))


def even_rows(items: Sequence[T]) -> list[tuple[T, ...]]:
    """Cut `items` into as few rows of at most four as it takes, of even length."""
    if not items:
        return []
    size = ceil(len(items) / ceil(len(items) / MOST_COLUMNS))
    return [tuple(items[start : start + size]) for start in range(0, len(items), size)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move ascending positions as little as possible until they are `gap` apart in [low, high].

    Least squares under `gap`: less i gaps, the i-th position must not fall below its predecessor,
    and pooling neighbours that do (isotonic regression) gives the closest such positions. `high`
    is passed where there is no room for all.
    """
    pools: list[tuple[float, int]] = []  # mean and size
    for index, position in enumerate(wanted):
        mean, size = position - index * gap, 1
        while pools and pools[-1][0] > mean:
            before, count = pools.pop()
            mean = (before * count + mean * size) / (count + size)
            size += count
        pools.append((mean, size))
    means = [mean for mean, size in pools for _ in range(size)]
    last = high - (len(means) - 1) * gap
    return [max(low, min(mean, last)) + index * gap for index, mean in enumerate(means)]
