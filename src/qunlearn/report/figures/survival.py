"""The figure that answers the question: what each precision leaves of the forgetting."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.labels import (
    LINES,
    REFERENCE_LINES,
    REFERENCE_MEANINGS,
    adapter_name,
    corpus_name,
    method_name,
)
from qunlearn.report.figures.house import FONT, WIDTH, head, legend, save
from qunlearn.report.figures.layout import bands
from qunlearn.report.figures.panel import (
    CROSS_STRIP,
    MARKS,
    Summaries,
    draw_panel,
    look,
    name_references,
    scale_limit,
    set_ticks,
)
from qunlearn.run.errors import InputError

FILE = "survival_of_forgetting"
ROWS = {
    "nll_forget": "Forget NLL\nnats a token",
    "verbmem": "VerMem\nROUGE-L",
    "knowmem": "KnowMem\nROUGE-L",
}
TITLE = "Does forgetting survive quantization?"
HOW_TO_READ = (
    "Where a coloured line meets the black line of target at the same precision, "
    "forgetting is lost. Bars and bands: 95 % intervals."
)
# Inches.
LEFT, RIGHT, HEAD, FOOT = 0.8, 0.62, 1.0, 0.05
PANEL_HEIGHT, GAP, BAND_TITLE, BAND_TICKS = 1.25, 0.16, 0.28, 0.52
SHIFT = 0.035  # between the variants at one precision, so that no bar hides behind another's


@dataclass(frozen=True)
class Panels:
    """What is drawn where.

    Attributes:
        bands: rows of columns, each column a (corpus, objective); one band where they all fit.
        precisions: the x axis.
        adapters: the variants, in the legend's order.
    """

    bands: tuple[tuple[tuple[str, str], ...], ...]
    precisions: tuple[str, ...]
    adapters: tuple[str, ...]


def plot_survival(scores: Sequence[Score], found: Summaries, folder: Path) -> None:
    """Draw what each precision leaves of the forgetting into `folder`, as PNG and as PDF.

    A column for each corpus and objective, a row for each metric of the forget set. Every variant
    is a line over the precisions, beside target and retrain *at the same precision*. Bars and
    bands are the 95 % intervals of `found`. A variant of which a run diverged has a cross at
    the bottom; where all did, its line has a gap. A value over twice the references' is a hollow
    marker on the upper edge. The same scores give the same bytes.

    Raises:
        InputError: `scores` hold no variant that the figure knows.
    """
    panels = arrange(scores)
    with rc_context(FONT):
        save(_draw(panels, found), folder, FILE)


def arrange(scores: Sequence[Score]) -> Panels:
    """Decide the panels: corpora, objectives and precisions keep their order in `scores`.

    Up to four columns stand side by side; more are cut into bands of one corpus each.

    Raises:
        InputError: `scores` hold no variant that the figure knows.
    """
    drawn = [score.cell for score in scores if score.cell.adapter in LINES]
    if not drawn:
        known = ", ".join(LINES)
        raise InputError(f"metrics: no unlearned model to draw; evaluate an adapter of {known}")
    columns = distinct((cell.corpus, cell.objective) for cell in drawn)
    return Panels(
        bands(columns),
        tuple(distinct(cell.precision for cell in drawn)),
        tuple(adapter for adapter in LINES if any(cell.adapter == adapter for cell in drawn)),
    )


def _draw(panels: Panels, summaries: Summaries) -> Figure:
    band_height = BAND_TITLE + len(ROWS) * (PANEL_HEIGHT + GAP) + BAND_TICKS
    height = HEAD + len(panels.bands) * band_height + FOOT
    figure = Figure(figsize=(WIDTH, height))
    tops = [height - HEAD - BAND_TITLE - index * band_height for index in range(len(panels.bands))]
    marks = [
        _draw_metric(
            figure, panels, summaries, metric, [top - row * (PANEL_HEIGHT + GAP) for top in tops]
        )
        for row, metric in enumerate(ROWS)
    ]
    _head(figure, panels, set().union(*marks))
    return figure


def _draw_metric(
    figure: Figure, panels: Panels, summaries: Summaries, metric: str, tops: Sequence[float]
) -> set[str]:
    """Draw the panels of one metric, `tops` inches up in each band, on one scale to compare by.

    Returns:
        The marks that the legend must explain.
    """
    height = figure.get_figheight()
    columns = max(map(len, panels.bands))
    width = (WIDTH - LEFT - RIGHT - (columns - 1) * GAP) / columns
    shift = SHIFT * len(panels.precisions) / width
    drawn: dict[Key, Axes] = {}
    ends: list[Key] = []
    limit = scale_limit(summaries, metric)
    marks: set[str] = set()
    for band, top in zip(panels.bands, tops, strict=True):
        for index, (corpus, objective) in enumerate(band):
            left, bottom = LEFT + index * (width + GAP), top - PANEL_HEIGHT
            axes = figure.add_axes(
                (left / WIDTH, bottom / height, width / WIDTH, PANEL_HEIGHT / height),
                sharey=next(iter(drawn.values()), None),
            )
            key = Key(corpus, objective, "", "", metric)
            drawn[key] = axes
            marks |= draw_panel(
                axes, summaries, panels.precisions, panels.adapters, key, shift, limit
            )
            set_ticks(axes, panels.precisions, width, labelled=metric == list(ROWS)[-1])
            axes.tick_params(axis="y", labelleft=index == 0)
            if index == 0:
                axes.set_ylabel(ROWS[metric])
                axes.yaxis.set_label_coords(-0.38 / width, 0.5)
            if metric == next(iter(ROWS)):
                name = f"{corpus_name(corpus)} · {method_name(objective)}"
                axes.set_title(name, loc="left", fontsize=9.5, fontweight="bold")
        ends.append(key)
    first = next(iter(drawn.values()))
    highest = min(first.get_ylim()[1], limit)
    lowest = -CROSS_STRIP * highest if "a run diverged" in marks else 0
    first.set_ylim(lowest, highest)
    for key in ends:
        name_references(drawn[key], summaries, panels.precisions, key)
    return marks


def _head(figure: Figure, panels: Panels, marks: set[str]) -> None:
    """Title, how to read it, and the legend, measured in inches from the top."""
    head(figure, TITLE, HOW_TO_READ)
    entries = {adapter_name(adapter): look(LINES[adapter]) for adapter in panels.adapters}
    for name, line in REFERENCE_LINES.items():
        entries[f"{name} ({REFERENCE_MEANINGS[name]})"] = look(line)
    legend(figure, entries, "upper left", 0.69)
    if used := {mark: style for mark, style in MARKS.items() if mark in marks}:
        legend(figure, used, "upper right", 0.18)
