"""The controls: reversion against the size of the update, and with some weights left unrounded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from qunlearn.analysis.metrics import Cell, Score
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import (
    LINES,
    Line,
    adapter_name,
    corpus_name,
    method_name,
    origin,
    precision_name,
)
from qunlearn.report.figures.house import FONT, WIDTH, head, legend, save
from qunlearn.report.figures.interventions import MIDRISE, SPARED, draw_interventions
from qunlearn.report.figures.labels import LEADER_FROM, along, nearest, place, text_size
from qunlearn.report.figures.layout import panel, write
from qunlearn.report.figures.measured import matrices_file
from qunlearn.report.figures.panel import Summaries, look
from qunlearn.report.figures.reversion_axis import (
    GUIDES,
    REVERSION_MARKS,
    cut,
    draw_values,
    limits,
    scale,
)
from qunlearn.run.errors import InputError
from qunlearn.survival.table import overall, read_survival

FILE = "controls"
METRIC = "reversion_nll_forget"
TITLE = "What protects forgetting: low rank, or large steps?"
HOW_TO_READ = (
    "Left: every update at its size. Right: the effect of leaving some weights unrounded. "
    "Bars: 95 % intervals."
)
RANKS = {
    "lora": "low rank (one LoRA update, scaled)",
    "full": "full rank (fp32 masters)",
    "full_bf16": "full rank (bf16 weights)",
}
SHORT = {"full": "FT", "full_bf16": "bf16 FT"}  # the legend says the rest
# Inches.
LEFT, RIGHT, HEAD, TITLES, PANEL_HEIGHT, GAP, FOOT = 0.82, 0.2, 1.08, 0.48, 2.15, 0.22, 0.56
LABEL_SIZE = 7.5  # points
MARKER_RADIUS, LINE_RADIUS = 3.5, 2.5  # points
LINE_SAMPLES = 20


@dataclass(frozen=True)
class Controls:
    """What is drawn.

    Attributes:
        summaries: of the reversion of the forget NLL, over seeds.
        norms: (corpus, objective, adapter) -> ||d|| / ||W||, the mean over seeds.
        rows: each a (corpus, objective) of which some control was run.
        precisions: a panel each, from fine to coarse.
        interventions: whether some row has any at the coarsest precision.
    """

    summaries: Summaries
    norms: Mapping[tuple[str, str, str], float]
    rows: tuple[tuple[str, str], ...]
    precisions: tuple[str, ...]
    interventions: bool


def plot_controls(
    scores: Sequence[Score],
    found: Summaries,
    survival: Path,
    precisions: Sequence[str],
    folder: Path,
) -> None:
    """Draw the controls into `folder`, as PNG and as PDF: a row a corpus and objective.

    Left, a panel for each of `precisions`: the reversion of the forget NLL against the relative
    norm of the update, low-rank and full-rank updates on one axis. Right, at the last and coarsest
    of them: fine-tuning in bf16 with some weights left unrounded, and on a grid without a zero.
    Variants that were not run are left out, and so are those that diverged: they have no size.

    Raises:
        InputError: no precision is given, `scores` hold no control at any, or the survival of a
            variant was not measured.
    """
    drawn = gather(scores, found, survival, precisions)
    with rc_context(FONT):
        save(_draw(drawn), folder, FILE)


def gather(
    scores: Sequence[Score], found: Summaries, survival: Path, precisions: Sequence[str]
) -> Controls:
    """Find what there is to draw.

    Raises:
        InputError: see `plot_controls`.
    """
    if not precisions:
        raise InputError("precisions: none given; name at least one, e.g. rtn3g64")
    own = [score for score in scores if score.metric == METRIC]
    coarsest = precisions[-1]
    sized = [
        score
        for score in own
        if score.cell.precision in precisions
        and score.cell.adapter not in SPARED
        and origin(score.cell.adapter) in LINES
    ]
    intervened = [
        score
        for score in own
        if (score.cell.adapter in SPARED and score.cell.precision == coarsest)
        or (score.cell.adapter == "full_bf16" and score.cell.precision == coarsest + MIDRISE)
    ]
    controls = [s for s in sized if s.cell.adapter not in LINES] + intervened
    rows = distinct((score.cell.corpus, score.cell.objective) for score in controls)
    if not rows:
        raise InputError(
            f"metrics: no control to draw at {', '.join(precisions)}; run with controls=true"
        )
    shown = [s for s in sized if (s.cell.corpus, s.cell.objective) in rows]
    return Controls(
        found,
        _norms([score.cell for score in shown], survival),
        tuple(rows),
        tuple(precisions),
        bool(intervened),
    )


def _norms(cells: Sequence[Cell], survival: Path) -> dict[tuple[str, str, str], float]:
    """The relative norms, which are the same at every precision: read at the first of each run."""
    runs = {(c.corpus, c.objective, c.adapter, c.seed): c for c in reversed(cells)}
    norms: dict[tuple[str, str, str], list[float]] = {}
    for corpus, objective, adapter, seed in sorted(runs, key=str):
        rows = read_survival(matrices_file(survival, runs[corpus, objective, adapter, seed]))
        if rows and (norm := overall(rows).relative_d):
            norms.setdefault((corpus, objective, adapter), []).append(norm)
    return {key: fmean(values) for key, values in norms.items()}


def _draw(drawn: Controls) -> Figure:
    columns = len(drawn.precisions) + drawn.interventions
    band = TITLES + PANEL_HEIGHT + FOOT
    figure = Figure(figsize=(WIDTH, HEAD + len(drawn.rows) * band))
    width = (WIDTH - LEFT - RIGHT - (columns - 1) * GAP) / columns
    marks: set[str] = set()
    for index, (corpus, objective) in enumerate(drawn.rows):
        top = HEAD + index * band
        title = f"{corpus_name(corpus)} · {method_name(objective)}"
        write(figure, LEFT, top + 0.12, title, fontsize=9.5, fontweight="bold")
        for column, precision in enumerate(drawn.precisions):
            left = LEFT + column * (width + GAP)
            axes = panel(figure, left, top + TITLES, width, PANEL_HEIGHT)
            axes.set_title(precision_name(precision), loc="left", fontsize=8.5, fontweight="bold")
            key = Key(corpus, objective, "", precision, METRIC)
            marks |= _draw_sizes(axes, drawn, key, width)
            axes.tick_params(labelleft=column == 0)
            if column == 0:
                axes.set_ylabel("Reversion of forget NLL\n(0: survived, 1: back at target)")
                axes.yaxis.set_label_coords(-0.4 / width, 0.5)
        if drawn.interventions:
            left = LEFT + (columns - 1) * (width + GAP)
            axes = panel(figure, left, top + TITLES, width, PANEL_HEIGHT)
            coarsest = precision_name(drawn.precisions[-1])
            name = f"{coarsest}, some weights unrounded"
            axes.set_title(name, loc="left", fontsize=8.5, fontweight="bold")
            key = Key(corpus, objective, "", drawn.precisions[-1], METRIC)
            marks |= draw_interventions(axes, drawn.summaries, key)
    head(figure, TITLE, HOW_TO_READ)
    found = {origin(adapter) for _, _, adapter in drawn.norms}
    entries = {
        name: look(Line(LINES[variant].colour, LINES[variant].marker, ""))
        for variant, name in RANKS.items()
        if variant in found
    }
    used = {mark: style for mark, style in REVERSION_MARKS.items() if mark in marks}
    for top, row in ((0.69, entries), (0.88, used)):
        if row:
            legend(figure, row, "upper left", top)
    return figure


def _draw_sizes(axes: Axes, drawn: Controls, key: Key, width: float) -> set[str]:
    """Draw the variants of `key`'s corpus, objective and precision at their norms.

    Returns:
        The marks that a legend must explain.
    """
    norms = {
        adapter: norm
        for (corpus, objective, adapter), norm in drawn.norms.items()
        if (corpus, objective) == (key.corpus, key.objective)
        and key._replace(adapter=adapter) in drawn.summaries
    }
    shown = {adapter: drawn.summaries[key._replace(adapter=adapter)] for adapter in norms}
    sizes = drawn.norms.values() or [0.01]  # none where all runs diverged
    low, high = min(sizes) / 1.5, max(sizes) * 1.8
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("size of the update, ||d|| / ||W||")
    marks: set[str] = set()
    for variant, line in LINES.items():
        family = sorted((norms[a], a) for a in norms if origin(a) == variant)
        points = Line(line.colour, line.marker, "-" if variant == "lora" else "")
        marks |= draw_values(axes, [n for n, _ in family], [shown[a] for _, a in family], points)
    bottom, upper = limits(drawn.summaries.values(), marks)
    scale(axes, bottom, upper)
    _name_points(axes, shown, norms, width)
    return marks


def _name_points(
    axes: Axes, shown: Mapping[str, Summary], norms: Mapping[str, float], width: float
) -> None:
    """Write each variant's name where it covers neither points, bars, lines nor other names."""
    right, top = 72 * width, 72 * PANEL_HEIGHT
    (low, high), (bottom, upper) = axes.get_xlim(), axes.get_ylim()

    def across(norm: float) -> float:
        return right * math.log(norm / low) / math.log(high / low)

    def up(value: float) -> float:
        return top * (cut(value) - bottom) / (upper - bottom)

    points = {
        adapter: (across(norms[adapter]), up(summary.value))
        for adapter, summary in shown.items()
        if summary.value is not None
    }
    taken = [along(point, point, 1, MARKER_RADIUS) for point in points.values()]
    taken += [np.array([[0, up(guide) - 0.5, right, up(guide) + 0.5]]) for guide in GUIDES]
    for adapter, (x, _) in points.items():
        low_end, high_end = shown[adapter].low, shown[adapter].high
        if low_end is not None and high_end is not None:
            bar = x - LINE_RADIUS, up(low_end), x + LINE_RADIUS, up(high_end)
            taken.append(np.array([bar]))
    chain = sorted(point for adapter, point in points.items() if origin(adapter) == "lora")
    taken += [along(*ends, LINE_SAMPLES, LINE_RADIUS) for ends in pairwise(chain)]
    names = {
        adapter: SHORT.get(adapter, adapter_name(adapter))
        for adapter in sorted(points, key=points.__getitem__)
    }
    boxes = place(
        [points[adapter] for adapter in names],
        [text_size(name, LABEL_SIZE) for name in names.values()],
        np.concatenate(taken),
        (2, 2, right - 2, top - 2),
    )
    for (adapter, name), box in zip(names.items(), boxes, strict=True):
        x, y = points[adapter]
        near = nearest((x, y), box)
        colour = LINES[origin(adapter)].colour
        axes.annotate(
            name,
            (x / right, y / top),
            xycoords="axes fraction",
            xytext=((box[0] + box[2]) / 2 / right, (box[1] + box[3]) / 2 / top),
            textcoords="axes fraction",
            horizontalalignment="center",
            verticalalignment="center",
            fontsize=LABEL_SIZE,
            color=colour,
            zorder=6,
        )
        if math.dist(near, (x, y)) > LEADER_FROM:
            axes.plot(
                [x / right, near[0] / right],
                [y / top, near[1] / top],
                transform=axes.transAxes,
                color=colour,
                linewidth=0.5,
                zorder=2,
            )
