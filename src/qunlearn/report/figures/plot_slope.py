"""What changes from bf16 to a few bits: every metric as a slope, with its numbers at both ends."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import LINES, number
from qunlearn.experiment.names import BEFORE
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.panels import Shown, apart, panels_abreast
from qunlearn.report.figures.plot_survival_of_forgetting import over_precisions
from qunlearn.report.figures.values import aside
from qunlearn.run.errors import InputError

ROWS = {
    "verbmem": "VerMem ↓\nROUGE-L",
    "knowmem": "KnowMem ↓\nROUGE-L",
    "privleak": "PrivLeak → 0\n%",
    "utility": "Utility ↑\nROUGE-L",
    "nll_forget": "Forget NLL ↑\nnats a token",
}
TITLE = "What do fewer bits change?"
HOW_TO_READ = (
    "A level line: quantization changes nothing. A line that runs to target's: forgetting is lost."
)
ENDS = 0.065  # of the figure's width, left and right of the lines, for the numbers
LOWEST, GAP = 0.06, 0.12  # of a panel: where a number stands at least, and from another


def plot(summary: Path, precisions: Sequence[str], output: Path) -> None:
    """Draw each metric at bf16 and at `precisions` into the folder `output`, as PNG and as PDF.

    As in the survival figure, every variant is a line beside target and retrain; here with all
    metrics, and with its numbers at both ends.

    Args:
        precisions: from fine to coarse; mid-rise grids, which are controls, are left out.

    Raises:
        InputError: no precision is given, one was not evaluated, or `summary` holds no variant that
            the figure knows.
    """
    places = distinct([BEFORE, *(p for p in precisions if not Precision.parse(p).midrise)])
    if len(places) == 1:
        raise InputError("precisions: none given to compare with bf16; name one, e.g. nf4")
    known = Shown.of(summary, ROWS)
    if missing := [place for place in places if place not in known.precisions]:
        raise InputError(f"precisions: {', '.join(missing)} not in the metrics; evaluate it first")
    found = {key: own for key, own in known.found.items() if key.precision in places}
    shown = replace(known, precisions=places, found=found)
    with over_precisions(shown, ROWS, (TITLE, HOW_TO_READ), output, "slope") as drawn:
        for (column, metric), axes in drawn.items():
            ends = ENDS * panels_abreast(axes)
            room = ends * (len(places) - 1) / (1 - 2 * ends)
            axes.set_xlim(-room, len(places) - 1 + room)
            for x, points, align in ((0, -6.5, "right"), (len(places) - 1, 6.5, "left")):
                _write_numbers(axes, shown, Key(*column, "", places[x], metric), x, points, align)


def _write_numbers(axes: Axes, shown: Shown, key: Key, x: float, points: float, align: str) -> None:
    """Write each variant's number beside its line, where none covers another.

    Args:
        key: of the metric and precision.
        x, points: where, and how far beside it.
    """
    low, high = axes.get_ylim()
    found = sorted(
        (own.value, at.adapter)
        for at, own in shown.found.items()
        if at == key._replace(adapter=at.adapter) and own.value is not None
    )
    wanted = [max((min(value, high) - low) / (high - low), LOWEST) for value, _ in found]
    beside = axes.get_xaxis_transform() + aside(axes, 1, 1, points)
    for (value, adapter), height in zip(found, apart(wanted, GAP), strict=True):
        shown_as = number(key.metric, value).replace("-", "−")  # as on the axis
        look: dict[str, Any] = {"color": LINES[adapter].colour, "fontsize": 7.5, "va": "center"}
        axes.text(x, height, shown_as, ha=align, transform=beside, **look)
