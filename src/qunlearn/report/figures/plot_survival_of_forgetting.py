"""The figure that answers the question: what each precision leaves of the forgetting."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, adapter_name
from qunlearn.report.figures.panels import (
    Column,
    Shown,
    Summaries,
    counted,
    name_at_right,
    set_precisions,
    sheet,
)
from qunlearn.report.figures.readings import read_scores
from qunlearn.report.figures.values import (
    STRIP,
    aside,
    draw_values,
    ends,
    extent,
    has_marks,
    look,
    reference_key,
    reference_name,
)

FILE = "survival_of_forgetting"
ROWS = {
    "nll_forget": "Forget NLL\nnats a token",
    "verbmem": "VerMem\nROUGE-L",
    "knowmem": "KnowMem\nROUGE-L",
}
TITLE = "Does forgetting survive quantization?"
HOW_TO_READ = (
    "Where a coloured line meets the black line of target at the same precision, "
    "forgetting is lost."
)
INTERVALS = "\nBars and bands: 95 % intervals; "
HEIGHT = 1.45  # inches, of a panel


def plot(metrics: Path, summary: Path, output: Path) -> None:
    """Draw what each precision leaves of the forgetting into the folder `output`, PNG and PDF.

    A column for each corpus and objective, a row for each metric of the forget set. Every variant
    is a line over the precisions, beside target and retrain *at the same precision*. Bars and
    bands are the 95 % intervals of `summary`. A variant of which a run diverged has a cross at
    the bottom; where all did, its line has a gap. A value over twice the references' is a hollow
    marker on the upper edge.

    Raises:
        InputError: `metrics` holds no variant that the figure knows, or a file does not parse.
    """
    scores, found = read_scores(metrics, summary)
    shown = Shown.of(score.cell for score in scores)
    with over_precisions(shown, found, ROWS, (TITLE, HOW_TO_READ), output, FILE):
        pass


@contextmanager
def over_precisions(
    shown: Shown,
    found: Summaries,
    rows: Mapping[str, str],
    words: tuple[str, str],
    output: Path,
    name: str,
) -> Iterator[dict[tuple[Column, str], Axes]]:
    """Yield panels of metrics over precisions, drawn and to be added to, then write the figure.

    Args:
        rows: metric -> name of its axis; the panels of a metric share their scale.
        words: title, and how to read the figure.
    """
    title, how = words
    how += INTERVALS + counted(own for key, own in found.items() if key.metric in rows)
    with sheet((title, how), shown.columns, rows, HEIGHT, output, name) as drawn:
        for (column, metric), axes in drawn.items():
            axes.set_ylim(*_span(found, shown, metric))
            _draw_panel(axes, found, shown, Key(*column, "", "", metric))
        yield drawn


def _span(summaries: Summaries, shown: Shown, metric: str) -> tuple[float, float]:
    """The scale of a metric: up to all intervals, but not beyond twice the references' values.

    An objective that pushes the forget NLL far beyond never having known would else flatten all
    that lies between target and retrain. PrivLeak's ideal is 0, of which there is no double.
    """
    own = {key: s for key, s in summaries.items() if key.metric == metric and shown.has(key)}
    low, high = extent(own.values())
    known = [s.value for key, s in own.items() if key.objective in REFERENCE_LINES and s.value]
    low = 1.05 * low if metric == "privleak" else 0.0
    limit = math.inf if metric == "privleak" else 2 * max(known, default=math.inf)
    high = min(high + 0.05 * ((high - low) or 1.0), limit)
    return low - STRIP * (high - low) if has_marks(own.values()) else low, high


def _draw_panel(axes: Axes, summaries: Summaries, shown: Shown, key: Key) -> None:
    """Draw `key`'s corpus, objective and metric, beside target and retrain."""
    set_precisions(axes, shown.precisions)
    limits = -math.inf, axes.get_ylim()[1]
    for index, adapter in enumerate(shown.adapters):
        own = shown.over(summaries, key._replace(adapter=adapter))
        moved = aside(axes, index, len(shown.adapters))
        name = adapter_name(adapter)
        draw_values(axes, list(own), list(own.values()), LINES[adapter], name, limits, moved)
    names = {}
    for reference, line in REFERENCE_LINES.items():
        own = shown.over(summaries, reference_key(key, reference))
        values = [ends(summary) for summary in own.values()]
        style = look(line) | {"label": reference_name(reference), "zorder": 2}
        axes.plot(list(own), [value for value, _, _ in values], **style)
        band = [low for _, low, _ in values], [high for _, _, high in values]
        axes.fill_between(list(own), *band, color=line.colour, alpha=0.13, lw=0, zorder=1)
        if values and not math.isnan(values[-1][0]):
            names[reference] = (values[-1][0], line.colour)
    name_at_right(axes, names)
