"""The figure of reversion against the coarseness of the grid, and how reversion is drawn."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_manifests import sign_measurements
from small_summaries import over_seeds
from small_survival import MATRIX, write_cell

from qunlearn.analysis.metrics import DIVERGED, UNDEFINED, Cell, Score, write_metrics
from qunlearn.analysis.summary import Summary, write_summaries
from qunlearn.experiment.labels import LINES
from qunlearn.report.figures import coarseness
from qunlearn.report.figures.coarseness import ROWS, gather, plot_reversion
from qunlearn.report.figures.reversion_axis import draw_values, limits, scale
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_reversion.py"
ERRORS = {"nf4": 0.09, "rtn4": 0.13, "rtn3g64": 0.25}
FULL = LINES["full"]


def summary(value: float | None, low: float | None, high: float | None) -> Summary:
    return Summary(value, low, high, seeds=1, diverged=0)


def scores_of(cell: str, value: float) -> list[Score]:
    return [
        Score("mini", Cell.parse(cell), row, value, value - 0.1, value + 0.2, 8) for row in ROWS
    ]


def experiment(survival: Path) -> list[Score]:
    """`full` and `lora` at three precisions, measured, with reversions 0.5 and 0.1."""
    scores = []
    for precision, error in ERRORS.items():
        for adapter, value in (("full", 0.5), ("lora", 0.1)):
            cell = f"news/npo_gdr/{adapter}/seed0/{precision}"
            scores += scores_of(cell, value)
            write_cell(survival, cell, [replace(MATRIX, rounding_error=error)])
    return scores


def drawn_points(axes: Axes, colour: str) -> list[tuple[float, float]]:
    return [
        (float(x), float(y))
        for line in axes.lines
        if line.get_color() == colour
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def test_precisions_stand_at_the_rounding_error_of_the_target(tmp_path: Path) -> None:
    scores = experiment(tmp_path)
    # Controls and the mid-rise grid are no points of this figure: they need not be measured.
    scores += scores_of("news/npo_gdr/lora_scaled0.5/seed0/fp4", 0.3)
    scores += scores_of("news/npo_gdr/full_bf16/seed0/rtn3g64m", 0.3)
    drawn = gather(scores[::-1], over_seeds(scores[::-1]), tmp_path)

    assert list(drawn.at("news")) == list(ERRORS)  # from fine to coarse, whatever the order
    assert drawn.at("news") == pytest.approx(ERRORS)
    assert drawn.adapters == ("full", "lora")
    assert drawn.bands == ((("news", "npo_gdr"),),)


def test_a_diverged_run_has_no_error_but_another_has(tmp_path: Path) -> None:
    scores = experiment(tmp_path)
    write_cell(tmp_path, "news/npo_gdr/full/seed0/nf4", [])

    assert gather(scores, over_seeds(scores), tmp_path).at("news")["nf4"] == pytest.approx(0.09)


def test_a_precision_that_rounds_nothing_has_no_place(tmp_path: Path) -> None:
    scores = experiment(tmp_path) + scores_of("news/npo_gdr/full/seed0/bf16", 0.0)
    write_cell(tmp_path, "news/npo_gdr/full/seed0/bf16", [replace(MATRIX, rounding_error=0.0)])

    assert "bf16" not in gather(scores, over_seeds(scores), tmp_path).at("news")


def test_where_nothing_has_a_place_the_panel_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(coarseness, "save", lambda figure, folder, name: figures.append(figure))
    cell = "news/npo_gdr/full/seed0/bf16"
    write_cell(tmp_path, cell, [])
    plot_reversion(scores_of(cell, 0.0), over_seeds(scores_of(cell, 0.0)), tmp_path, tmp_path)

    assert coarseness.NO_PLACE in [text.get_text() for text in figures[0].axes[0].texts]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    scores = experiment(tmp_path)
    with pytest.raises(InputError, match="no reversion to draw; collect the metrics again"):
        gather(
            [replace(score, metric="verbmem") for score in scores],
            over_seeds([replace(score, metric="verbmem") for score in scores]),
            tmp_path,
        )
    with pytest.raises(InputError, match=r"full/seed0/nf4\.csv: no such file"):
        gather(scores, over_seeds(scores), tmp_path / "elsewhere")


def test_every_panel_has_a_line_a_variant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures: list[Figure] = []
    monkeypatch.setattr(coarseness, "save", lambda figure, folder, name: figures.append(figure))
    plot_reversion(experiment(tmp_path), over_seeds(experiment(tmp_path)), tmp_path, tmp_path)

    panels = figures[0].axes
    assert len(panels) == len(ROWS)
    for axes in panels:
        points = drawn_points(axes, FULL.colour)
        assert [y for _, y in points] == [0.5] * 3
        assert [x for x, _ in points] == pytest.approx(list(ERRORS.values()), rel=0.05)
        # `full` stands left of `lora`, so that no bar hides behind another's.
        assert points[0][0] < 0.09 < drawn_points(axes, LINES["lora"].colour)[0][0]
    names = {text.get_text() for text in panels[0].texts}
    assert names == {"survived", "back at\ntarget", "NF4", "RTN4", "RTN3 g64"}


def test_a_value_off_the_scale_is_a_hollow_marker_on_the_edge() -> None:
    axes = Figure().add_subplot()
    values = [summary(9.0, 8.0, 10.0), summary(0.5, -2.0, 0.7), summary(-0.9, -1.0, -0.8)]
    marks = draw_values(axes, [1.0, 2.0, 3.0], values, FULL)

    line, hollow = axes.lines
    assert list(line.get_ydata()) == [1.5, 0.5, -0.5]
    assert list(hollow.get_xdata()) == [1.0, 3.0] and list(hollow.get_ydata()) == [1.5, -0.5]
    assert hollow.get_markerfacecolor() == "white"
    ends = [bar.get_segments()[0][:, 1].tolist() for bar in axes.collections]
    assert ends == [[1.5, 1.5], [-0.5, 0.7], [-0.5, -0.5]]
    assert marks == {"off the scale"}


def test_without_a_number_there_is_a_gap_and_a_mark() -> None:
    axes = Figure().add_subplot()
    lost = Summary(None, None, None, seeds=1, diverged=1)
    undefined = Summary(None, None, None, seeds=1, diverged=0, undefined=1)
    marks = draw_values(axes, [1.0, 2.0, 3.0], [summary(0.2, 0.1, 0.3), lost, undefined], FULL)

    line, cross, question = axes.lines
    assert line.get_ydata()[0] == 0.2 and all(map(math.isnan, line.get_ydata()[1:]))
    assert (list(cross.get_xdata()), cross.get_marker()) == ([2.0], "x")
    assert (list(question.get_xdata()), question.get_marker()) == ([3.0], "$?$")
    assert marks == {"a run diverged", "undefined: not forgotten"}


def test_the_scale_shows_all_intervals_up_to_its_limits() -> None:
    assert limits([summary(0.5, 0.4, 0.6)], set()) == pytest.approx((-0.1, 1.1))
    assert limits([summary(0.5, -0.3, 1.2)], set()) == pytest.approx((-0.35, 1.25))
    assert limits([summary(0.5, -9.0, 9.0)], {"off the scale"}) == (-0.5, 1.5)
    assert limits([], {"a run diverged"})[0] < -0.1
    axes = Figure().add_subplot()
    scale(axes, -0.1, 1.1)
    assert list(axes.get_yticks()) == [0, 0.5, 1]
    assert [line.get_ydata()[0] for line in axes.lines] == [0, 1]


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    scores = experiment(tmp_path / "s")
    absent = [Cell.parse(f"news/npo_gdr/full_bf16/seed0/{precision}") for precision in ERRORS]
    scores += [Score.missing("mini", absent[0], row, DIVERGED) for row in ROWS]
    scores += [Score.missing("mini", absent[1], row, UNDEFINED) for row in ROWS]
    write_metrics(tmp_path / "metrics.csv", scores)
    write_summaries(tmp_path / "summary.csv", "mini", over_seeds(scores))
    sign_measurements(tmp_path / "s")
    plot_reversion(scores, over_seeds(scores), tmp_path / "s", tmp_path / "here")
    command = [
        sys.executable,
        SCRIPT,
        "--metrics",
        tmp_path / "metrics.csv",
        "--summary",
        tmp_path / "summary.csv",
    ]
    command += ["--survival", tmp_path / "s", "--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["reversion.pdf", "reversion.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
