"""How unlearning went: forget NLL and retain loss of every run, update by update."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, adapter_name
from qunlearn.experiment.names import Cell
from qunlearn.models.checkpoints import is_diverged
from qunlearn.report.figures.drawing import look, plain_log
from qunlearn.report.figures.page import MARKS, sheet
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl
from qunlearn.run.manifest import verify

LOG = "train_log.jsonl"
FORGET, RETAIN = "nll_forget", "loss_retain"
XLABEL = "updates (logarithmic)"
NO_RETAIN = "no retain term"
DECADES = 1e-4  # of the highest retain loss: a divergence that starts near 0 takes up all room


def plot(results: Path, names: Sequence[str], output: Path) -> None:
    """Draw forget NLL and retain loss over the updates into a folder, as PNG and as PDF.

    A column for each corpus and objective, a line a run: runs that differ in nothing but their
    seed look alike. A run that diverged ends in a cross. Updates and retain loss have logarithmic
    axes. A control is left out.

    Args:
        results: the experiment's folder, whose records are read.
        names: the runs, <corpus>/<objective>/<adapter>/seed<k> each.
        output: gets `loss_curves.png` and `.pdf`.

    Raises:
        InputError: no variant that the figure knows is given, a name has another form, or a log is
            missing, not as it was written, or holds no forget NLL though the run ended well.
    """
    unlearned = results / "records/unlearned"
    cells = [cell for name in names if (cell := Cell.parse(f"{name}/bf16")).adapter in LINES]
    if not cells:
        raise InputError(f"--names: none to draw; give one of an adapter of {', '.join(LINES)}")
    logs = {cell: read_log(unlearned / cell.corpus / cell.model) for cell in cells}
    every = pd.concat(logs.values())
    highest = every.max().fillna(1.0)
    lowest = max(DECADES * highest[RETAIN], every[RETAIN].where(every[RETAIN] > 0).min())
    columns = distinct((cell.corpus, cell.objective) for cell in cells)
    with sheet("loss_curves", columns, output) as drawn:
        for (column, metric), axes in drawn.items():
            axes.set(xscale="log", ylim=(0, 1.05 * highest[FORGET]))
            plain_log(axes.xaxis)
            if len(every):
                axes.set_xlim(every.index.min() / 1.15, every.index.max() * 1.15)
            if metric == RETAIN:
                axes.set_xlabel(XLABEL)
                axes.set(yscale="log", ylim=(lowest / 1.15, 1.15 * highest[RETAIN]))
                plain_log(axes.yaxis)
            own = {c: log for c, log in logs.items() if (c.corpus, c.objective) == column}
            for cell, log in own.items():
                diverged = is_diverged(unlearned / cell.corpus / cell.model)
                _draw_run(axes, cell.adapter, log[metric].dropna(), diverged)
            if metric == RETAIN and not any(log[RETAIN].notna().any() for log in own.values()):
                axes.text(0.5, 0.5, NO_RETAIN, ha="center", color="#666", transform=axes.transAxes)


def read_log(folder: Path) -> pd.DataFrame:
    """A run's log: update -> both losses, ascending; NaN where there is no finite number.

    Raises:
        InputError: see `plot`.
    """
    verify(folder / LOG)
    lines = pd.DataFrame(read_jsonl(folder / LOG), columns=["step", FORGET, RETAIN]).set_index(
        "step"
    )
    log = lines.astype(float).replace([np.inf, -np.inf], np.nan).dropna(how="all").sort_index()
    if log[FORGET].isna().all() and not is_diverged(folder):
        raise InputError(f"{folder / LOG}: no line with a step and {FORGET}; unlearn again")
    return log


def _draw_run(axes: Axes, adapter: str, log: pd.Series, diverged: bool) -> None:
    """Draw a run's line, and its end: the variant's marker, or a cross where it diverged."""
    style = look(LINES[adapter]) | {"linewidth": 1.4, "label": adapter_name(adapter)}
    axes.plot(log.index, log, **style, markevery=[] if diverged else [-1])
    if diverged:
        mark = "a run diverged"
        cross = MARKS[mark] | {"color": LINES[adapter].colour, "label": mark, "zorder": 5}
        axes.plot(log.index[-1:], log[-1:], **cross)
