"""The forecast against what came back: every run on every grid."""

from pathlib import Path

from qunlearn.analysis.forecast_scores import read_scored
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import LINES, adapter_name
from qunlearn.quantize.method import method_of
from qunlearn.report.figures import drawing
from qunlearn.report.figures.page import sheet
from qunlearn.survival.forecast import THRESHOLD

PLAIN = "torch"  # the library of plain rounding
MARKERS = "osD^vP*"
FARTHEST = 100.0  # all larger ratios stand in one place, as of grids that round next to none to 0
EDGE = 1.6  # from the largest other ratio to that place, and from there to the edge


def plot(results: Path, output: Path) -> None:
    """Draw the reversion of the forget NLL against moved / zero into `output`, PNG and PDF.

    A reversion beyond the scale is a hollow marker on its edge. Cells without a ratio or without a
    reversion are counted, not drawn.

    Raises:
        InputError: `results` has no tables/scored.csv, or it does not parse.
    """
    found = read_scored(results / "tables/scored.csv")
    own = found.dropna(subset=["ratio", "reversion_nll_forget"])
    makers = own["precision"].map(lambda name: method_of(name).library)
    markers = dict(zip(distinct(makers), MARKERS, strict=False))
    far = own["ratio"] > FARTHEST
    near = [*own["ratio"][~far], 0.5, 2.0]
    low, high = min(near) / EDGE, max(near) * EDGE
    own = own.assign(x=own["ratio"].mask(far, high), maker=makers)
    left = len(found) - len(own)
    counted = f"{len(own)} cells, and {left} without a number." if left else f"{len(own)} cells."
    with sheet("forecast", [""], output, counted, title=str) as drawn:
        axes = drawn["", ""]
        axes.set_xscale("log")
        axes.set_xlim(low, high * EDGE)
        drawing.plain_log(axes.xaxis)
        ticks = [tick for tick in axes.get_xticks() if low <= tick < high / EDGE]
        last = [f"> {FARTHEST:g}"] * bool(far.any())
        axes.set_xticks([*ticks, *[high] * len(last)], [f"{x:g}" for x in ticks] + last)
        axes.set_xlabel("Share of weights that moved / share that the grid rounds to zero")
        axes.set_ylim(drawing.REVERSION)
        for guide, name in drawing.GUIDES.items():
            axes.axhline(guide, **drawing.GUIDE, zorder=1)
            drawing.name_at_right(axes, name, guide, "#444444")
        axes.axvline(THRESHOLD, color="#444444", linewidth=1.1, zorder=1)
        for adapter, rows in drawing.variants(own).items():
            line = LINES[adapter]
            axes.plot([], [], color=line.colour, linewidth=5, label=adapter_name(adapter))
            for maker, cells in rows.groupby("maker"):
                value = cells["reversion_nll_forget"].clip(*drawing.REVERSION)
                inside = value == cells["reversion_nll_forget"]
                look = drawing.dot(line) | {"marker": markers[maker], "zorder": 4}
                axes.plot(cells["x"][inside], value[inside], **look)
                beyond = drawing.hollow(line) | {"marker": markers[maker], "clip_on": False}
                axes.plot(cells["x"][~inside], value[~inside], **beyond, zorder=5)
        for maker, marker in markers.items():
            label = "plain rounding" if maker == PLAIN else maker
            axes.plot([], [], color="#444444", linestyle="", marker=marker, label=label)
