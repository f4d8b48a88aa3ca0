"""The controls: reversion against the size of the update, and with some weights left unrounded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from qunlearn.analysis.lineage import check_measurements
from qunlearn.analysis.metrics import Cell
from qunlearn.analysis.summary import Key, distinct
from qunlearn.experiment.controls import CHOICES, SCALED, SPARE
from qunlearn.experiment.labels import LINES, Line, adapter_name, origin, precision_name
from qunlearn.report.figures.page import page
from qunlearn.report.figures.panels import Column, Summaries, column_name, counted, panels
from qunlearn.report.figures.readings import read_scores
from qunlearn.report.figures.reversion_axis import GUIDE_LOOK, GUIDES, LIMITS, scale, span
from qunlearn.report.figures.values import BAR, cut, dot, draw_values, ends, hollow
from qunlearn.run.errors import InputError
from qunlearn.survival.table import overall, read_survival

FILE = "controls"
METRIC = "reversion_nll_forget"
TITLE = "What protects forgetting: low rank, or large steps?"
HOW_TO_READ = (
    "Left: every update at its size (× 2: LoRA's update times 2). LoRA is low rank, FT full rank.\n"
    "Right: the effect of leaving some weights unrounded. Bars: 95 % intervals; "
)
Y_NAME = "Reversion of forget NLL\n(0: survived, 1: back at target)"
SPARED = tuple(SPARE + choice for choice in CHOICES)
MIDRISE = "m"  # what a mid-rise precision's name ends with
RIGHT = ""  # the place of the panel of interventions
MARKERS = {"lora_matched": "v", "full_matched": "D"}  # all others have their origin's
HEIGHT, BAND = 2.5, 0.9  # inches: of a panel; of a row's titles and ticks
NAME_AT, POINT_AT = 0.36, 0.72  # of a row of the right panel, from its upper edge
Norms = Mapping[str, float]


def plot(
    metrics: Path, summary: Path, survival: Path, precisions: Sequence[str], output: Path
) -> None:
    """Draw the controls into the folder `output`, PNG and PDF: a row a corpus and objective.

    Left, a panel for each of `precisions`: the reversion of the forget NLL against the relative
    norm of the update, low-rank and full-rank updates on one axis. Right, at the last and coarsest
    of them: fine-tuning in bf16 with some weights left unrounded, and on a grid without a zero.
    Variants that were not run are left out, and so are those that diverged: they have no size.

    Raises:
        InputError: `metrics` holds no control at any precision, or the survival of a variant was
            not measured, or of another model.
    """
    scores, found = read_scores(metrics, summary)
    check_measurements(survival, (score.cell for score in scores))
    cells = [score.cell for score in scores if score.metric == METRIC]
    coarsest = precisions[-1]
    sized = [
        cell
        for cell in cells
        if cell.precision in precisions
        and origin(cell.adapter) in LINES
        and cell.adapter not in SPARED
    ]
    spared = [
        cell
        for cell in cells
        if (cell.adapter in SPARED and cell.precision == coarsest)
        or (cell.adapter == "full_bf16" and cell.precision == coarsest + MIDRISE)
    ]
    controls = [cell for cell in sized if cell.adapter not in LINES] + spared
    rows = distinct((cell.corpus, cell.objective) for cell in controls)
    if not rows:
        raise InputError(
            f"metrics: no control to draw at {', '.join(precisions)}; run with controls=true"
        )
    norms = {
        row: _norms([cell for cell in sized if (cell.corpus, cell.objective) == row], survival)
        for row in rows
    }
    sizes = [norm for own in norms.values() for norm in own.values()] or [0.01]
    shown = [own for key, own in found.items() if key.metric == METRIC]
    places = [*precisions, *([RIGHT] if spared else [])]
    bands = [[(row, place) for place in places] for row in rows]

    def title(place: tuple[Column, str]) -> str:
        row, precision = place
        above = f"{column_name(row)}\n" if precision == places[0] else ""
        if precision == RIGHT:
            return f"{precision_name(coarsest)}, some weights unrounded"
        return above + precision_name(precision)

    how = HOW_TO_READ + counted(shown)
    with page(TITLE, how, len(bands) * (HEIGHT + BAND), output, FILE) as body:
        drawn = panels(body, bands, {METRIC: Y_NAME}, title, sharey=False)
        for ((row, precision), _), axes in drawn.items():
            if precision == RIGHT:
                _draw_interventions(axes, found, Key(*row, "", coarsest, METRIC))
                axes.set_xlim(*span(shown))
            else:
                axes.set(xscale="log", xlim=(min(sizes) / 1.5, max(sizes) * 1.5))
                scale(axes, shown)
                _draw_sizes(axes, found, norms[row], Key(*row, "", precision, METRIC))


def _norms(cells: Sequence[Cell], survival: Path) -> Norms:
    """Adapter -> ||d|| / ||W||, the mean over seeds; the same at all precisions, so read at one."""
    runs = {(cell.adapter, cell.seed): cell for cell in reversed(cells)}
    norms: dict[str, list[float]] = {}
    for (adapter, _), cell in sorted(runs.items(), key=str):
        rows = read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv")
        if rows and (norm := overall(rows)["relative_d"]):
            norms.setdefault(adapter, []).append(norm)
    return {adapter: fmean(own) for adapter, own in norms.items()}


def _draw_sizes(axes: Axes, summaries: Summaries, norms: Norms, key: Key) -> None:
    """Draw the variants of `key`'s corpus, objective and precision at their norms."""
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("size of the update, ||d|| / ||W||")
    found = {a: own for a in norms if (own := summaries.get(key._replace(adapter=a)))}
    chain = sorted(
        (norms[a], cut(own.value, LIMITS)) for a, own in found.items() if origin(a) == "lora"
    )
    axes.plot([x for x, _ in chain], [y for _, y in chain], color=LINES["lora"].colour, lw=1.2)
    for adapter, own in found.items():
        line = LINES[origin(adapter)]
        points = Line(line.colour, MARKERS.get(adapter, line.marker), "")
        label = "" if adapter.startswith(SCALED) else adapter_name(adapter)
        draw_values(axes, [norms[adapter]], [own], points, label, LIMITS)
        if not label and own.value is not None:
            name, top = f"× {adapter.removeprefix(SCALED)}", ends(own, LIMITS)[2]
            axes.text(norms[adapter], top, name, fontsize=7.5, color=line.colour, ha="center")


def _draw_interventions(axes: Axes, summaries: Summaries, key: Key) -> None:
    """Draw the reversion (x) of each intervention at `key`'s corpus, objective and precision.

    From above: fine-tuning in bf16 as it is, with each kind of weights left unrounded, and on the
    mid-rise grid. What was not run has no row; a row without a number says why.
    """
    base = key._replace(adapter="full_bf16")
    midrise = base._replace(precision=key.precision + MIDRISE)
    spared = [key._replace(adapter=adapter) for adapter in SPARED]
    rows = [own for own in (base, *spared, midrise) if own in summaries]
    axes.set_ylim(max(len(rows), 1), 0)
    axes.set_yticks([])
    axes.set_xticks(list(GUIDES), [f"{x:g}\n{name}" for x, name in GUIDES.items()])
    axes.spines["left"].set_visible(False)
    for guide in GUIDES:
        axes.axvline(guide, **GUIDE_LOOK, zorder=1)
    line = LINES["full_bf16"]
    words: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 7.5}
    words["backgroundcolor"] = "white"  # covers the guide at 0
    for index, row in enumerate(rows):
        own, name = summaries[row], adapter_name(row.adapter)
        if row.adapter == base.adapter:
            name += ", all rounded" if row == base else f", {precision_name(row.precision)}"
        axes.text(0.02, index + NAME_AT, name, **words)
        y = index + POINT_AT
        if own.value is None:
            absent = "diverged" if own.diverged else "undefined: not forgotten"
            axes.text(0.02, y, absent, **words, color="#666666", va="center")
            continue
        value, low, high = ends(own, LIMITS)
        axes.hlines(y, low, high, color=line.colour, **BAR)
        axes.hlines(y, 0, value, color=line.colour, linewidth=3, alpha=0.3)
        off = value != own.value
        label = "off the scale" if off else adapter_name("full_bf16")
        axes.plot(value, y, **hollow(line) if off else dot(line), label=label, clip_on=False)
