"""The controls: reversion against the size of the update, and with some weights left unrounded."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullLocator

from qunlearn.analysis.lineage import check_measurements
from qunlearn.analysis.summary import Key, Summary, distinct, read_metrics, summaries
from qunlearn.experiment.controls import CHOICES, SCALED, SPARE
from qunlearn.experiment.labels import LINES, Line, adapter_name, origin, precision_name
from qunlearn.experiment.names import Cell
from qunlearn.report.figures.panels import Column, column_name, counted, sheet
from qunlearn.report.figures.values import (
    BAR,
    GUIDE,
    GUIDES,
    REVERSION,
    dot,
    draw_values,
    ends,
    hollow,
    reversion_span,
    scale_reversion,
)
from qunlearn.run.errors import InputError
from qunlearn.survival.table import overall, read_survival

METRIC = "reversion_nll_forget"
TITLE = "What protects forgetting: low rank, or large steps?"
HOW_TO_READ = (
    "Left: every update at its size (× 2: LoRA's update times 2). LoRA is low rank, FT full rank.\n"
    "Right: the effect of leaving some weights unrounded. Bars: 95 % intervals; "
)
Y_NAME = "Reversion of forget NLL\n(0: survived, 1: back at target)"
SPARED = tuple(SPARE + choice for choice in CHOICES)
BASE = "full_bf16"  # the variant of which weights are spared
MIDRISE = "m"  # what a mid-rise precision's name ends with
RIGHT = ""  # the place of the panel of interventions
MARKERS = {"lora_matched": "v", "full_matched": "D"}  # all others have their origin's
HEIGHT = 2.85  # inches, of a panel and its title


def plot(
    metrics: Path, summary: Path, survival: Path, precisions: Sequence[str], output: Path
) -> None:
    """Draw the controls into the folder `output`, PNG and PDF: a row a corpus and objective.

    Left, a panel for each of `precisions`: the reversion of the forget NLL against the relative
    norm of the update, low-rank and full-rank updates on one axis. Right, at the last and coarsest
    of them: fine-tuning in bf16 with some weights left unrounded, and on a grid without a zero.
    Variants that were not run are left out, and so are those that diverged: they have no size.

    Raises:
        InputError: `summary` holds no control at any precision, or the survival of a variant was
            not measured, or of another model.
    """
    found = {key: own for key, own in summaries(summary).items() if key.metric == METRIC}
    cells = [cell for cell, metric in read_metrics(metrics) if metric == METRIC]
    check_measurements(survival, cells)
    coarsest = precisions[-1]
    sized = [c for c in cells if c.precision in precisions and origin(c.adapter) in LINES]
    sized = [cell for cell in sized if cell.adapter not in SPARED]
    midrise = BASE, coarsest + MIDRISE
    spared = [c for c in cells if c.adapter in SPARED and c.precision == coarsest]
    spared += [cell for cell in cells if (cell.adapter, cell.precision) == midrise]
    controls = [cell for cell in sized if cell.adapter not in LINES] + spared
    rows = distinct((cell.corpus, cell.objective) for cell in controls)
    if not rows:
        raise InputError(
            f"{summary}: no control to draw at {', '.join(precisions)}; run with controls=true"
        )
    norms = {
        row: _norms((c for c in sized if (c.corpus, c.objective) == row), survival) for row in rows
    }
    sizes = [norm for own in norms.values() for norm in own.values()] or [0.01]
    columns = [*precisions, *[RIGHT] * bool(spared)]
    places = [(row, column) for row in rows for column in columns]

    def title(place: tuple[Column, str]) -> str:
        row, precision = place
        if precision == RIGHT:
            return f"{precision_name(coarsest)}, some weights unrounded"
        return f"{column_name(row)}\n" * (precision == precisions[0]) + precision_name(precision)

    words, file = (TITLE, HOW_TO_READ + counted(found.values())), (output, "controls", title)
    with sheet(words, places, {METRIC: Y_NAME}, HEIGHT, *file, abreast=len(columns)) as drawn:
        for ((row, precision), _), axes in drawn.items():
            key = Key(*row, BASE, precision or coarsest, METRIC)
            if precision == RIGHT:
                _draw_interventions(axes, found, key)
                axes.set_xlim(*reversion_span(found.values()))
            else:
                axes.set(xscale="log", xlim=(min(sizes) / 1.5, max(sizes) * 1.5))
                scale_reversion(axes, found.values())
                _draw_sizes(axes, found, norms[row], key)


def _norms(cells: Iterable[Cell], survival: Path) -> dict[str, float]:
    """Adapter -> ||d|| / ||W||, the mean over seeds; the same at all precisions, so read at one."""
    runs = {(cell.adapter, cell.seed): cell for cell in cells}
    norms: dict[str, list[float]] = {}
    for (adapter, _), cell in sorted(runs.items(), key=str):
        rows = read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv")
        if len(rows) and (norm := overall(rows)["relative_d"]) > 0:
            norms.setdefault(adapter, []).append(norm)
    return {adapter: fmean(own) for adapter, own in norms.items()}


def _draw_sizes(
    axes: Axes, summaries: Mapping[Key, Summary], norms: Mapping[str, float], key: Key
) -> None:
    """Draw the variants of `key`'s corpus, objective and precision at their norms."""
    axes.xaxis.set_major_formatter(lambda x, _: f"{100 * x:g} %")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("size of the update, ||d|| / ||W||")
    found = {a: own for a in norms if (own := summaries.get(key._replace(adapter=a)))}
    low_rank = sorted((norms[a], a) for a in found if origin(a) == "lora")
    chain = ends((found[a] for _, a in low_rank), REVERSION)[:, 0]
    axes.plot([x for x, _ in low_rank], chain, color=LINES["lora"].colour, lw=1.2)
    for adapter, own in found.items():
        line = LINES[origin(adapter)]
        points = Line(line.colour, MARKERS.get(adapter, line.marker), "")
        label = "" if adapter.startswith(SCALED) else adapter_name(adapter)
        draw_values(axes, {norms[adapter]: own}, points, label, REVERSION)
        if not label and own.value is not None:
            place = norms[adapter], ends([own], REVERSION)[0, 2]
            words: dict[str, Any] = {"fontsize": 7.5, "color": line.colour, "ha": "center"}
            axes.text(*place, f"× {adapter.removeprefix(SCALED)}", **words)


def _draw_interventions(axes: Axes, summaries: Mapping[Key, Summary], key: Key) -> None:
    """Draw the reversion (x) of each intervention at `key`'s corpus, objective and precision.

    From above: fine-tuning in bf16 as it is, with each kind of weights left unrounded, and on the
    mid-rise grid. What was not run has no row; a row without a number says why.
    """
    midrise = key._replace(precision=key.precision + MIDRISE)
    names = {key: f"{adapter_name(BASE)}, all rounded"}
    names |= {key._replace(adapter=adapter): adapter_name(adapter) for adapter in SPARED}
    names[midrise] = f"{adapter_name(BASE)}, {precision_name(midrise.precision)}"
    rows = [own for own in names if own in summaries]
    axes.set_ylim(len(rows), 0)
    axes.set_yticks([])
    axes.set_xticks(list(GUIDES), [f"{x:g}\n{name}" for x, name in GUIDES.items()])
    axes.spines["left"].set_visible(False)
    for guide in GUIDES:
        axes.axvline(guide, **GUIDE)
    line = LINES[BASE]
    words: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 7.5}
    words["backgroundcolor"] = "white"  # covers the guide at 0
    for index, row in enumerate(rows):
        own, y = summaries[row], index + 0.72
        axes.text(0.02, index + 0.36, names[row], **words)
        if own.value is None:
            absent = "diverged" if own.diverged else "undefined: not forgotten"
            axes.text(0.02, y, absent, **words, color="#666666", va="center")
            continue
        value, low, high = ends([own], REVERSION)[0]
        axes.hlines(y, low, high, color=line.colour, **BAR)
        axes.hlines(y, 0, value, color=line.colour, linewidth=3, alpha=0.3)
        off = value != own.value
        label = "off the scale" if off else adapter_name(BASE)
        axes.plot(value, y, **hollow(line) if off else dot(line), label=label, clip_on=False)
