"""How unlearning went: forget NLL and retain loss of every run, update by update."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, Line, adapter_name
from qunlearn.models.checkpoints import is_diverged
from qunlearn.report.figures.house import FONT, head, legend, save
from qunlearn.report.figures.layout import Sheet, bands
from qunlearn.report.figures.panel import CROSS_STRIP, MARKS, look
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
# Inches.
LEFT, RIGHT, HEAD, BAND_TITLE, FOOT, HEIGHT, ACROSS, DOWN = 0.8, 0.2, 1.0, 0.28, 0.6, 1.7, 0.2, 0.2


@dataclass(frozen=True)
class Run:
    """The log of an unlearning run.

    Attributes:
        model: whose run; its precision says nothing here.
        points: metric of `ROWS` -> (update, value), ascending; only finite values.
        diverged: whether it ended in numbers that are none.
    """

    model: Cell
    points: dict[str, list[tuple[int, float]]]
    diverged: bool


def plot_loss_curves(unlearned: Path, models: Sequence[str], folder: Path) -> None:
    """Draw forget NLL and retain loss over the updates into `folder`, as PNG and as PDF.

    A column for each corpus and objective, a line a run: runs that differ in nothing but their
    seed look alike. A run that diverged ends in a cross. An axis is logarithmic where the runs'
    spans differ by more than a factor of three. A control is left out.

    Args:
        unlearned: the folder of the unlearned models.
        models: each <corpus>/<objective>/<adapter>/seed<k> below it.
        folder: gets `loss_curves.png` and `.pdf`.

    Raises:
        InputError: no variant that the figure knows is given, a name has another form, or a log is
            missing or holds no forget NLL.
    """
    cells = [_parse(model) for model in models]
    runs = [read_run(unlearned, cell) for cell in cells if cell.adapter in LINES]
    if not runs:
        known = ", ".join(LINES)
        raise InputError(f"models: none to draw; give at least one of an adapter of {known}")
    with rc_context(FONT):
        save(_draw(runs), folder, FILE)


def read_run(unlearned: Path, model: Cell) -> Run:
    """Read a run's log.

    Raises:
        InputError: it is missing, not as it was written, does not parse, or holds no forget NLL
            though the run ended well.
    """
    folder = unlearned / model.corpus / model.objective / model.adapter / f"seed{model.seed}"
    path = folder / LOG
    verify(path)
    lines = [line for line in read_jsonl(path) if isinstance(line, dict)]
    points = {metric: _points(lines, metric) for metric in ROWS}
    diverged = is_diverged(folder)
    if not points[FORGET] and not diverged:
        raise InputError(f"{path}: no line with a step and {FORGET}; unlearn again")
    return Run(model, points, diverged)


def _parse(model: str) -> Cell:
    try:
        cell = Cell.parse(f"{model}/bf16")
    except InputError:
        cell = None
    if cell is None or cell.seed is None:
        form = "<corpus>/<objective>/<adapter>/seed<k>"
        raise InputError(f"model '{model}': write {form}, e.g. news/npo_gdr/lora/seed0")
    return cell


def _points(lines: Iterable[dict[str, Any]], metric: str) -> list[tuple[int, float]]:
    return sorted(
        (line["step"], line[metric])
        for line in lines
        if isinstance(line.get("step"), int)
        and isinstance(line.get(metric), int | float)
        and math.isfinite(line[metric])
    )


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


def _draw(runs: Sequence[Run]) -> Figure:
    columns = distinct((run.model.corpus, run.model.objective) for run in runs)
    sheet = Sheet(bands(columns), ROWS, LEFT, RIGHT, HEAD, BAND_TITLE, FOOT, HEIGHT, ACROSS, DOWN)
    figure, panels = sheet.draw()
    curves = [run.points[metric] for run in runs for metric in ROWS if run.points[metric]]
    low, high, kind = axis([(points[0][0], points[-1][0]) for points in curves])
    for (corpus, objective, metric), axes in panels.items():
        axes.set_xscale(kind)
        axes.set_xlim(low, high)
        _scale_height(axes, [run.points[metric] for run in runs])
        own = [r for r in runs if (r.model.corpus, r.model.objective) == (corpus, objective)]
        for run in own:
            _draw_run(axes, run, metric)
        if metric == RETAIN and not any(run.points[RETAIN] for run in own):
            axes.text(0.5, 0.5, NO_RETAIN, transform=axes.transAxes, ha="center", color="#666666")
        _label(axes.xaxis, kind)
        axes.tick_params(labelbottom=metric == RETAIN)
        if metric == RETAIN:
            axes.set_xlabel("updates" if kind == "linear" else "updates (logarithmic)")
    head(figure, TITLE, HOW_TO_READ)
    found = {run.model.adapter for run in runs}
    entries = {adapter_name(own): look(line) for own, line in LINES.items() if own in found}
    legend(figure, entries, "upper left", 0.69)
    if any(run.diverged for run in runs):
        name = "a run diverged"
        legend(figure, {name: MARKS[name]}, "upper right", 0.69)
    return figure


def _scale_height(axes: Axes, curves: Iterable[Sequence[tuple[int, float]]]) -> None:
    values = [[value for _, value in points] for points in curves if points]
    low, high, kind = axis([(min(own), max(own)) for own in values])
    axes.set_yscale(kind)
    axes.set_ylim(low, high)
    _label(axes.yaxis, kind)


def _label(ruler: XAxis | YAxis, kind: str) -> None:
    """Plain numbers instead of powers of ten."""
    if kind == "log":
        ruler.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ruler.set_major_formatter(lambda x, _: f"{x:g}")
        ruler.set_minor_locator(NullLocator())


def _draw_run(axes: Axes, run: Run, metric: str) -> None:
    """Draw a run's line, and its end: the variant's marker, or a cross where it diverged."""
    points, line = run.points[metric], LINES[run.model.adapter]
    x, y = [update for update, _ in points], [value for _, value in points]
    style = look(line) | {"linewidth": 1.4, "zorder": 3}
    axes.plot(x, y, **style, markevery=[] if run.diverged else [-1])
    if run.diverged:
        cross = look(Line(line.colour, "x", "")) | {"zorder": 5}
        if points:
            axes.plot(x[-1:], y[-1:], **cross)
        elif metric == FORGET:  # before its first line: side by side in the corner
            place = CORNER * (1 + list(LINES).index(run.model.adapter))
            axes.plot([place], [CROSS_STRIP / 2], **cross, transform=axes.transAxes)
