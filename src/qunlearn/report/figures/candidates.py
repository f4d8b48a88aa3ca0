"""Every candidate of every grid: forget KnowMem against Utility, the front and the chosen one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qunlearn.analysis.selection.choice import Selection
from qunlearn.analysis.selection.rules import front
from qunlearn.analysis.selection.scores import Candidate, Scores
from qunlearn.analysis.selection.sentences import candidate_name
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, REFERENCE_LINES, REFERENCE_MEANINGS, adapter_name
from qunlearn.report.figures.house import FONT, head, legend, save
from qunlearn.report.figures.layout import Sheet
from qunlearn.report.figures.pareto import BETTER, REFERENCE_LOOK

FILE = "candidates"
TITLE = "Which settings were tried, and which was chosen?"
HOW_TO_READ = (
    "Each marker is a candidate in bf16 on the questions of the choice; ringed: the chosen one, "
    "named below. Line: the front.\nDotted: retrain's KnowMem, which MUSE's rule asks for."
)
ROW = "utility"
ABREAST = 2  # panels: the names of the chosen ones are long
# Inches.
LEFT, RIGHT, HEAD, BAND_TITLE, FOOT = 0.8, 0.15, 1.15, 0.28, 0.62
HEIGHT, ACROSS, LINE = 2.3, 0.4, 0.17
ROOM = 0.06  # of the scale: below the points, and twice above them, for the word in the corner


def plot_candidates(selections: Sequence[Selection], folder: Path) -> None:
    """Draw forget KnowMem (x) against Utility (y) into `folder`, as PNG and as PDF.

    A panel for each corpus and objective, a colour and marker for each variant; target and retrain
    are grey. Candidates of which every seed diverged have no place in it.
    """
    with rc_context(FONT):
        save(draw(selections), folder, FILE)


def draw(selections: Sequence[Selection]) -> Figure:
    """The figure."""
    columns = distinct((own.corpus, own.objective) for own in selections)
    own_lines = max(
        sum((own.corpus, own.objective) == column for own in selections) for column in columns
    )
    sheet = Sheet(
        bands=[columns[start : start + ABREAST] for start in range(0, len(columns), ABREAST)],
        rows={ROW: "Utility, ROUGE-L  (↑ better)"},
        left=LEFT,
        right=RIGHT,
        head=HEAD,
        title=BAND_TITLE,
        foot=FOOT + own_lines * LINE,
        height=HEIGHT,
        across=ACROSS,
        down=0.0,
    )
    figure, panels = sheet.draw()
    for (corpus, objective, _), axes in panels.items():
        found = [own for own in selections if (own.corpus, own.objective) == (corpus, objective)]
        _draw_panel(axes, found)
        axes.set_ylim(*_limits(selections))
    adapters = distinct(own.adapter for own in selections)
    head(figure, TITLE, HOW_TO_READ)
    _legend(figure, adapters)
    return figure


def _draw_panel(axes: Axes, selections: Sequence[Selection]) -> None:
    first = selections[0]
    for name, scores in (("target", first.target), ("retrain", first.retrain)):
        axes.plot([scores.knowmem], [scores.utility], **_reference(name), zorder=2, clip_on=False)
    axes.axvline(first.retrain.knowmem, color="#888888", linewidth=0.9, linestyle=":", zorder=1)
    for index, own in enumerate(selections):
        _draw_cell(axes, own)
        axes.text(
            0.0,
            -(0.5 + index * LINE) / HEIGHT,
            f"{adapter_name(own.adapter)}: {candidate_name(own.chosen)}",
            transform=axes.transAxes,
            color=LINES[own.adapter].colour,
            verticalalignment="top",
            fontsize=8,
        )
    axes.set_xlim(left=0)
    axes.set_xlabel("Forget KnowMem, ROUGE-L  (← better)")
    axes.grid(axis="x")
    place: dict[str, Any] = {"transform": axes.transAxes, "verticalalignment": "top"}
    axes.text(0.015, 0.985, BETTER, **place, fontsize=9, fontweight="bold", color="#555555")


def _limits(selections: Sequence[Selection]) -> tuple[float, float]:
    """The scale of Utility that shows every candidate and reference, the same in all panels."""
    scores = [
        found
        for own in selections
        for found in (own.target, own.retrain, *(c.scores for c in own.candidates))
        if found is not None
    ]
    low, high = min(s.utility for s in scores), max(s.utility for s in scores)
    room = ROOM * ((high - low) or 1.0)
    return low - room, high + 2 * room


def _draw_cell(axes: Axes, selection: Selection) -> None:
    """Draw a cell's candidates, the line of its front and the ring of its choice."""
    line = LINES[selection.adapter]
    best = front(selection.candidates)
    standing = [(own, own.scores) for own in selection.candidates if own.scores is not None]
    marker = _marker(selection.adapter)
    for own, (x, y) in _places(standing):
        if own.name == selection.chosen:
            axes.plot([x], [y], **marker | _RING, zorder=5, clip_on=False)
        alpha = 1.0 if own.name in best else 0.4
        axes.plot([x], [y], **marker, alpha=alpha, zorder=4, clip_on=False)
    edge = sorted(place for own, place in _places(standing) if own.name in best)
    axes.plot(
        [x for x, _ in edge], [y for _, y in edge], color=line.colour, linewidth=1.1, zorder=3
    )


def _places(
    standing: Sequence[tuple[Candidate, Scores]],
) -> list[tuple[Candidate, tuple[float, float]]]:
    return [(own, (scores.knowmem, scores.utility)) for own, scores in standing]


_RING: dict[str, Any] = {
    "markersize": 11,
    "markerfacecolor": "none",
    "markeredgecolor": "#222222",
    "markeredgewidth": 1.3,
    "marker": "o",
}


def _marker(adapter: str) -> dict[str, Any]:
    line = LINES[adapter]
    return {"color": line.colour, "marker": line.marker, "markersize": 4.5, "linestyle": ""}


def _reference(name: str) -> dict[str, Any]:
    return REFERENCE_LOOK[name] | {"color": REFERENCE_LINES[name].colour, "linestyle": ""}


def _legend(figure: Figure, adapters: Sequence[str]) -> None:
    entries = {adapter_name(adapter): _marker(adapter) for adapter in adapters}
    for name, meaning in REFERENCE_MEANINGS.items():
        entries[f"{name} ({meaning})"] = _reference(name)
    entries["chosen"] = _RING | {"color": "#222222", "linestyle": "", "markersize": 9}
    legend(figure, entries, "upper left", 0.86)
