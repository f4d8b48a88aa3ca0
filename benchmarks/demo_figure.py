"""Where the seconds of a run went: a bar a rule, with what of it is on the critical path."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from matplotlib.axes import Axes

from qunlearn.report.figures.page import sheet

WORDS = {
    "title": "Where do the experiment's seconds go?",
    "how_to_read": "Seconds of all jobs of a rule. No number of cores shortens the critical path.",
    "rows": {"": ""},
}
ON_PATH, BESIDE = "on the critical path", "beside it"
COLOURS = {ON_PATH: "#D55E00", BESIDE: "#c4c4c4"}
FOOT, ROW = 0.05, 0.21  # inches


def draw(rows: Sequence[Mapping[str, str | int | float]], path: Path) -> None:
    """Draw `demo_jobs.by_rule`'s rows into the PNG `path`, the longest rule on top."""
    with TemporaryDirectory() as folder:
        words = WORDS | {"height": FOOT + ROW * len(rows)}
        with sheet(path.stem, [""], Path(folder), title=str, words=words) as drawn:
            _draw_bars(drawn["", ""], rows)
        path.write_bytes((Path(folder) / f"{path.stem}.png").read_bytes())


def _draw_bars(axes: Axes, rows: Sequence[Mapping[str, str | int | float]]) -> None:
    places = range(len(rows))[::-1]
    on_path = [float(row[ON_PATH]) for row in rows]
    seconds = [float(row["seconds"]) for row in rows]
    beside = [whole - part for whole, part in zip(seconds, on_path, strict=True)]
    axes.barh(places, on_path, color=COLOURS[ON_PATH], height=0.7, label=ON_PATH)
    axes.barh(places, beside, left=on_path, color=COLOURS[BESIDE], height=0.7, label=BESIDE)
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
