"""Every candidate of every grid: forget KnowMem against Utility, and the chosen one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from qunlearn.analysis.selection.choice import Selection, read
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, adapter_name
from qunlearn.report.candidates import candidate_name, counted_questions
from qunlearn.report.figures.drawing import dot, reference_name
from qunlearn.report.figures.page import sheet
from qunlearn.report.figures.plot_pareto import BETTER, REFERENCE_LOOK

XLABEL = "Forget KnowMem, ROUGE-L  (← better)"
ABREAST = 2  # panels: the names of the chosen ones are long
RING: dict[str, Any] = {"color": "#222222", "linestyle": "", "marker": "o", "markersize": 11}
RING |= {"markerfacecolor": "none", "markeredgewidth": 1.3}


def plot(results: Path, names: Sequence[str], output: Path) -> None:
    """Draw forget KnowMem (x) against Utility (y) into the folder `output`, as PNG and as PDF.

    A panel for each corpus and objective, a colour and marker for each variant; target and retrain
    are grey. Candidates of which every seed diverged have no place in it.

    Args:
        results: the experiment's folder, whose choices are read.
        names: the swept <corpus>/<objective>/<adapter>.

    Raises:
        InputError: a choice is missing or broken.
    """
    choices = [read(results / f"selection/{name}.json") for name in names]
    columns = distinct((own.corpus, own.objective) for own in choices)
    with sheet("candidates", columns, output, counted_questions(choices), abreast=ABREAST) as drawn:
        for (column, _), axes in drawn.items():
            axes.sharey(next(iter(drawn.values())))
            _draw_panel(axes, [own for own in choices if (own.corpus, own.objective) == column])
        for name, style in REFERENCE_LOOK.items():
            axes.plot([], [], **style, linestyle="", label=reference_name(name))
        axes.plot([], [], **RING | {"markersize": 9}, label="chosen")


def _draw_panel(axes: Axes, selections: Sequence[Selection]) -> None:
    """Draw the candidates and choices of each variant, and name the chosen ones below."""
    for own in selections:
        places, line = own.candidates, LINES[own.adapter]
        marker = dot(line) | {"markersize": 5.5, "markeredgewidth": 0, "alpha": 0.7}
        marker |= {"label": adapter_name(own.adapter)}
        for points, style in ((places, marker), (places[places["name"] == own.chosen], RING)):
            axes.plot(points["knowmem"], points["utility"], **style, clip_on=False, zorder=4)
    first = selections[0]
    for name, scores in (("target", first.target), ("retrain", first.retrain)):
        place = scores["knowmem"], scores["utility"]
        axes.plot(*place, **REFERENCE_LOOK[name], zorder=2, clip_on=False)
    axes.axvline(first.retrain["knowmem"], color="#888888", linewidth=0.9, linestyle=":", zorder=1)
    axes.margins(y=0.12)  # for the word in the corner
    axes.set_xlim(left=0)
    chosen = [f"{adapter_name(own.adapter)}: {candidate_name(own.chosen)}" for own in selections]
    axes.set_xlabel("\n".join([XLABEL, *chosen]))
    axes.grid(axis="x")
    axes.text(0.015, 0.985, **BETTER, transform=axes.transAxes, va="top")
