"""What changes from bf16 to a few bits: every metric as a slope, with its numbers at both ends."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from matplotlib.axes import Axes

from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import LINES, number
from qunlearn.quantize.method import Precision
from qunlearn.report.figures.panels import Shown, Summaries, apart, panels_abreast
from qunlearn.report.figures.plot_survival_of_forgetting import over_precisions
from qunlearn.report.figures.readings import read_scores
from qunlearn.run.errors import InputError

FILE = "slope"
START = "bf16"
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


def plot(metrics: Path, summary: Path, precisions: Sequence[str], output: Path) -> None:
    """Draw each metric at bf16 and at `precisions` into the folder `output`, as PNG and as PDF.

    As in the survival figure, every variant is a line beside target and retrain; here with all
    metrics, and with its numbers at both ends.

    Args:
        precisions: from fine to coarse; mid-rise grids, which are controls, are left out.

    Raises:
        InputError: no precision is given, one was not evaluated, or `metrics` holds no variant that
            the figure knows.
    """
    places = distinct([START, *(p for p in precisions if not Precision.parse(p).midrise)])
    if len(places) == 1:
        raise InputError("precisions: none given to compare with bf16; name one, e.g. nf4")
    scores, found = read_scores(metrics, summary)
    known = Shown.of(score.cell for score in scores)
    if missing := [place for place in places if place not in known.precisions]:
        raise InputError(f"precisions: {', '.join(missing)} not in the metrics; evaluate it first")
    shown = replace(known, precisions=places)
    with over_precisions(shown, found, ROWS, (TITLE, HOW_TO_READ), output, FILE) as drawn:
        for (column, metric), axes in drawn.items():
            ends = ENDS * panels_abreast(axes)
            room = ends * (len(places) - 1) / (1 - 2 * ends)
            axes.set_xlim(-room, len(places) - 1 + room)
            _write_numbers(axes, found, shown, Key(*column, "", "", metric))


def _write_numbers(axes: Axes, summaries: Summaries, shown: Shown, key: Key) -> None:
    """Write each variant's first and last number beside its line, where none covers another."""
    low, high = axes.get_ylim()
    last = len(shown.precisions) - 1
    for place, points, align in ((0, -6.5, "right"), (last, 6.5, "left")):
        at = key._replace(precision=shown.precisions[place])
        found = sorted(
            (value, adapter)
            for adapter in shown.adapters
            if (own := summaries.get(at._replace(adapter=adapter)))
            and (value := own.value) is not None
        )
        wanted = [max((min(value, high) - low) / (high - low), LOWEST) for value, _ in found]
        for (value, adapter), height in zip(found, apart(wanted, GAP), strict=True):
            axes.annotate(
                number(key.metric, value).replace("-", "−"),  # as on the axis
                (place, height),
                xycoords=axes.get_xaxis_transform(),
                xytext=(points, 0),
                textcoords="offset points",
                color=LINES[adapter].colour,
                fontsize=7.5,
                horizontalalignment=align,
                verticalalignment="center",
            )
