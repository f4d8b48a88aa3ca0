"""The figure that answers the question: what each precision leaves of the forgetting."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key
from qunlearn.experiment.labels import REFERENCE_LINES
from qunlearn.report.figures.panels import (
    Column,
    Shown,
    counted,
    set_precisions,
    sheet,
)
from qunlearn.report.figures.values import (
    draw_variants,
    ends,
    extent,
    look,
    name_at_right,
    reference_name,
    with_strip,
)

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


def plot(summary: Path, output: Path) -> None:
    """Draw what each precision leaves of the forgetting into the folder `output`, PNG and PDF.

    A column for each corpus and objective, a row for each metric of the forget set. Every variant
    is a line over the precisions, beside target and retrain *at the same precision*. Bars and
    bands are 95 % intervals. A variant of which a run diverged has a cross at the bottom; where all
    did, its line has a gap. A value over twice the references' is a hollow marker on the upper
    edge.

    Raises:
        InputError: `summary` holds no variant that the figure knows, or does not parse.
    """
    shown = Shown.of(summary, ROWS, midrise=True)
    with over_precisions(shown, ROWS, (TITLE, HOW_TO_READ), output, "survival_of_forgetting"):
        pass


@contextmanager
def over_precisions(
    shown: Shown, rows: Mapping[str, str], words: tuple[str, str], output: Path, file: str
) -> Iterator[dict[tuple[Column, str], Axes]]:
    """Yield panels of metrics over precisions, drawn and to be added to, then write the figure.

    Args:
        rows: metric -> name of its axis; the panels of a metric share their scale.
        words: title, and how to read the figure.
    """
    words = words[0], words[1] + INTERVALS + counted(shown.found.values())
    with sheet(words, shown.columns, rows, HEIGHT, output, file) as drawn:
        for (column, metric), axes in drawn.items():
            axes.set_ylim(*_span(shown, metric))
            _draw_panel(axes, shown, Key(*column, "", "", metric))
        yield drawn


def _span(shown: Shown, metric: str) -> tuple[float, float]:
    """The scale of a metric: up to all intervals, but not beyond twice the references' values.

    An objective that pushes the forget NLL far beyond never having known would else flatten all
    that lies between target and retrain. PrivLeak's ideal is 0, of which there is no double.
    """
    own = {key: found for key, found in shown.found.items() if key.metric == metric}
    known = [s.value for key, s in own.items() if key.objective in REFERENCE_LINES and s.value]
    low, high = extent(own.values())
    low = 1.05 * low if metric == "privleak" else 0.0
    limit = math.inf if metric == "privleak" else 2 * max(known, default=math.inf)
    return with_strip(low, min(high + 0.05 * ((high - low) or 1.0), limit), own.values())


def _draw_panel(axes: Axes, shown: Shown, key: Key) -> None:
    """Draw `key`'s corpus, objective and metric, beside target and retrain."""
    set_precisions(axes, shown.precisions)
    draw_variants(axes, shown, key, (-math.inf, axes.get_ylim()[1]))
    last = {}
    for reference, line in REFERENCE_LINES.items():
        own = shown.over(key._replace(objective=reference, adapter="none"))
        values, low, high = ends(own.values()).T
        style = look(line) | {"label": reference_name(reference), "zorder": 2}
        axes.plot(list(own), values, **style)
        axes.fill_between(list(own), low, high, color=line.colour, alpha=0.13, lw=0, zorder=1)
        if len(own) and not math.isnan(values[-1]):
            last[reference] = values[-1]
    # Names that may stand at one height: the upper one above its line, the lower one below.
    for reference, value in last.items():
        side = "bottom" if value == max(last.values()) else "top"
        name_at_right(axes, reference, value, REFERENCE_LINES[reference].colour, side)
