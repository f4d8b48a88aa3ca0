"""Where the seconds of a run went: a bar a rule, with what of it is on the critical path."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib import rc_context
from matplotlib.figure import Figure

from qunlearn.report.figures.house import FONT, MARGIN, WIDTH, head, legend, save

TITLE = "Where do the experiment's seconds go?"
HOW_TO_READ = "Seconds of all jobs of a rule. No number of cores shortens the critical path."
COLOURS = {"on the critical path": "#D55E00", "beside it": "#c4c4c4"}
# Inches.
LEFT, RIGHT, HEAD, FOOT, ROW = 1.75, 1.3, 0.95, 0.55, 0.21


def draw(rows: Sequence[Mapping[str, str | int | float]], path: Path) -> None:
    """Draw `demo_jobs.by_rule`'s rows into the PNG `path`, the longest rule on top."""
    with rc_context(FONT), TemporaryDirectory() as folder:
        save(_figure(rows), Path(folder), path.stem)
        path.write_bytes((Path(folder) / f"{path.stem}.png").read_bytes())


def _figure(rows: Sequence[Mapping[str, str | int | float]]) -> Figure:
    height = HEAD + FOOT + ROW * len(rows)
    figure = Figure(figsize=(WIDTH, height))
    left, bottom = LEFT / WIDTH, FOOT / height
    axes = figure.add_axes(
        (left, bottom, 1 - left - RIGHT / WIDTH, 1 - bottom - (HEAD + MARGIN) / height)
    )
    places = range(len(rows))[::-1]
    on_path = [float(row["on the critical path"]) for row in rows]
    seconds = [float(row["seconds"]) for row in rows]
    beside = [whole - part for whole, part in zip(seconds, on_path, strict=True)]
    axes.barh(places, on_path, color=COLOURS["on the critical path"], height=0.7)
    axes.barh(places, beside, left=on_path, color=COLOURS["beside it"], height=0.7)
    for place, row, whole in zip(places, rows, seconds, strict=True):
        jobs = "1 job" if row["jobs"] == 1 else f"{row['jobs']} jobs"
        axes.annotate(
            f"{whole:.1f} s, {jobs}",
            (whole, place),
            (4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(places, [str(row["rule"]) for row in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.set_xlabel("seconds")
    head(figure, TITLE, HOW_TO_READ)
    squares = {
        name: {"color": colour, "marker": "s", "linestyle": "", "markersize": 7}
        for name, colour in COLOURS.items()
    }
    legend(figure, squares, "upper left", 0.66)
    return figure
