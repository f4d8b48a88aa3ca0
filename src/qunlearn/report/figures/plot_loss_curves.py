"""How unlearning went: forget NLL and retain loss of every run, update by update."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.ticker import LogLocator, NullLocator

from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, adapter_name
from qunlearn.models.checkpoints import is_diverged
from qunlearn.report.figures.page import MARKS
from qunlearn.report.figures.panels import sheet
from qunlearn.report.figures.values import STRIP, look
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl
from qunlearn.run.manifest import verify

FILE = "loss_curves"
LOG = "train_log.jsonl"
FORGET, RETAIN = "nll_forget", "loss_retain"
ROWS = {FORGET: "Forget NLL\nnats a token", RETAIN: "Retain loss\nnats a token"}
TITLE = "How fast is it forgotten, and at what price?"
HOW_TO_READ = (
    "A run ends where its forget NLL meets the stop rule, or its epochs are over. "
    "Retain loss: GDR's NLL or KLR's divergence, before its weight."
)
NO_RETAIN = "no retain term"
CORNER = 0.03  # of a panel's width, between crosses
APART = 3.0  # ratio of spans from which an axis is logarithmic
HEIGHT = 1.85  # inches, of a panel
Points = list[tuple[int, float]]


class Run(NamedTuple):
    """The log of an unlearning run.

    Attributes:
        model: whose run; its precision says nothing here.
        points: metric of `ROWS` -> (update, value), ascending; only finite values.
        diverged: whether it ended in NaN or infinite values.
    """

    model: Cell
    points: dict[str, Points]
    diverged: bool


def plot(unlearned: Path, models: Sequence[str], output: Path) -> None:
    """Draw forget NLL and retain loss over the updates into a folder, as PNG and as PDF.

    A column for each corpus and objective, a line a run: runs that differ in nothing but their
    seed look alike. A run that diverged ends in a cross. An axis is logarithmic where the runs'
    spans differ by more than a factor of three. A control is left out.

    Args:
        unlearned: the folder of the unlearned models.
        models: each <corpus>/<objective>/<adapter>/seed<k> below it.
        output: gets `loss_curves.png` and `.pdf`.

    Raises:
        InputError: no variant that the figure knows is given, a name has another form, or a log is
            missing, not as it was written, or holds no forget NLL though the run ended well.
    """
    cells = [Cell.parse(f"{model}/bf16") for model in models]
    runs = [read_run(unlearned, cell) for cell in cells if cell.adapter in LINES]
    if not runs:
        known = ", ".join(LINES)
        raise InputError(f"models: none to draw; give at least one of an adapter of {known}")
    columns = distinct((run.model.corpus, run.model.objective) for run in runs)
    spans = [(own[0][0], own[-1][0]) for run in runs for own in run.points.values() if own]
    low, high, kind = axis(spans)
    xlabel = "updates" if kind == "linear" else "updates (logarithmic)"
    with sheet((TITLE, HOW_TO_READ), columns, ROWS, HEIGHT, output, FILE, xlabel) as drawn:
        for (column, metric), axes in drawn.items():
            values = [[y for _, y in run.points[metric]] for run in runs if run.points[metric]]
            bottom, top, scale = axis([(min(own), max(own)) for own in values])
            axes.set(xscale=kind, xlim=(low, high), yscale=scale, ylim=(bottom, top))
            _label(axes.xaxis)
            _label(axes.yaxis)
            own = [run for run in runs if (run.model.corpus, run.model.objective) == column]
            for run in own:
                _draw_run(axes, run, metric)
            if metric == RETAIN and not any(run.points[RETAIN] for run in own):
                axes.text(0.5, 0.5, NO_RETAIN, ha="center", color="#666", transform=axes.transAxes)


def read_run(unlearned: Path, model: Cell) -> Run:
    """Read a run's log.

    Raises:
        InputError: see `plot`.
    """
    folder = unlearned / model.corpus / model.model
    path = folder / LOG
    verify(path)
    points: dict[str, Points] = {metric: [] for metric in ROWS}
    for line in read_jsonl(path):
        for metric in ROWS.keys() & line.keys():
            if math.isfinite(line[metric]):
                points[metric].append((line["step"], line[metric]))
    diverged = is_diverged(folder)
    if not points[FORGET] and not diverged:
        raise InputError(f"{path}: no line with a step and {FORGET}; unlearn again")
    return Run(model, {metric: sorted(own) for metric, own in points.items()}, diverged)


def axis(spans: Sequence[tuple[float, float]]) -> tuple[float, float, str]:
    """Limits and kind (`linear` or `log`) of an axis that shows the spans of all runs.

    Linear axes start at 0. Logarithmic ones have at most four decades: a divergence that starts
    near 0 would else take up all the room.
    """
    highs = [high for _, high in spans if high > 0]
    if not highs:
        return 0.0, 1.0, "linear"
    high = max(highs)
    if high <= APART * min(highs):
        return 0.0, 1.05 * high, "linear"
    low = max(min(low for low, _ in spans), 1e-4 * high)
    return low / 1.15, high * 1.15, "log"


def _label(ruler: XAxis | YAxis) -> None:
    """Plain numbers instead of powers of ten."""
    if ruler.get_scale() == "log":
        ruler.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ruler.set_major_formatter(lambda x, _: f"{x:g}")
        ruler.set_minor_locator(NullLocator())


def _draw_run(axes: Axes, run: Run, metric: str) -> None:
    """Draw a run's line, and its end: the variant's marker, or a cross where it diverged."""
    adapter, diverged = run.model.adapter, "a run diverged"
    x, y = [update for update, _ in run.points[metric]], [value for _, value in run.points[metric]]
    style = look(LINES[adapter]) | {"linewidth": 1.4, "label": adapter_name(adapter)}
    axes.plot(x, y, **style, markevery=[] if run.diverged else [-1])
    cross = MARKS[diverged] | {"color": LINES[adapter].colour, "label": diverged, "zorder": 5}
    if run.diverged and x:
        axes.plot(x[-1:], y[-1:], **cross)
    elif run.diverged and metric == FORGET:  # before its first line: side by side in the corner
        place = CORNER * (1 + list(LINES).index(adapter))
        axes.plot(place, STRIP / 2, **cross, transform=axes.transAxes)
