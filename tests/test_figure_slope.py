"""The slope chart: what it chooses, draws and writes beside its lines."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_summaries import over_seeds

from qunlearn.analysis.metrics import Cell, Score, write_metrics
from qunlearn.analysis.summary import write_summaries
from qunlearn.experiment.labels import LINES
from qunlearn.report.figures import slope
from qunlearn.report.figures.slope import ROWS, choose, plot_slope
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_slope.py"
FULL, LORA = LINES["full"], LINES["lora"]


def scores_of(cell: str, value: float | None) -> list[Score]:
    """Every metric of a cell at `value`, with an interval of -1 and +2."""
    if value is None:
        return [Score.missing("mini", Cell.parse(cell), metric, "diverged") for metric in ROWS]
    return [Score("mini", Cell.parse(cell), m, value, value - 1, value + 2, 32) for m in ROWS]


def experiment(objectives: tuple[str, ...] = ("npo_gdr",)) -> list[Score]:
    """`full` stays at 12 whatever the precision, `lora` goes from 30 to 60."""
    scores = []
    for precision in ("bf16", "nf4", "rtn4", "rtn3g64"):
        scores += scores_of(f"news/target/{precision}", 90.0)
        scores += scores_of(f"news/retrain/{precision}", 10.0)
        for objective in objectives:
            value = 60.0 if precision == "rtn3g64" else 30.0
            scores += scores_of(f"news/{objective}/full/seed0/{precision}", 12.0)
            scores += scores_of(f"news/{objective}/lora/seed0/{precision}", value)
    return scores


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(slope, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def line_of(axes: Axes, colour: str) -> list[float]:
    """The heights of a variant's line, the first of its colour."""
    return next(list(line.get_ydata()) for line in axes.lines if line.get_color() == colour)


def numbers(axes: Axes, colour: str) -> list[str]:
    return [text.get_text() for text in axes.texts if text.get_color() == colour]


def test_bf16_comes_first_and_midrise_grids_are_left_out() -> None:
    panels = choose(experiment(), ("rtn4", "rtn3g64m", "bf16", "rtn3g64"))

    assert panels.precisions == ("bf16", "rtn4", "rtn3g64")
    assert panels.bands == ((("news", "npo_gdr"),),)


def test_controls_are_no_lines() -> None:
    scores = experiment() + scores_of("news/npo_gdr/lora_scaled0.5/seed0/nf4", 1.0)

    assert choose(scores, ("nf4",)).adapters == ("full", "lora")


def test_what_is_missing_is_named() -> None:
    with pytest.raises(InputError, match="precisions: none given to compare with bf16"):
        choose(experiment(), ("rtn3g64m",))
    with pytest.raises(InputError, match="precisions: fp4, gptq4 not in the metrics"):
        choose(experiment(), ("fp4", "nf4", "gptq4"))
    with pytest.raises(InputError, match="no unlearned model to draw"):
        choose(scores_of("news/target/bf16", 90.0), ("nf4",))


def test_each_metric_is_a_panel_with_its_numbers_at_both_ends(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    plot_slope(experiment(), over_seeds(experiment()), ("nf4", "rtn3g64"), tmp_path)

    panels = drawn[0].axes
    assert len(panels) == len(ROWS)
    for axes, metric in zip(panels, ROWS, strict=True):
        assert line_of(axes, FULL.colour) == [12.0] * 3
        assert line_of(axes, LORA.colour) == [30.0, 30.0, 60.0]
        two = metric == "nll_forget"  # decimals
        assert numbers(axes, FULL.colour) == ["12.00" if two else "12.0"] * 2
        assert numbers(axes, LORA.colour) == (["30.00", "60.00"] if two else ["30.0", "60.0"])
    names = [label.get_text() for label in panels[-1].get_xticklabels()]
    assert names == ["bf16", "NF4", "RTN3\ng64"]


def test_numbers_stand_where_their_values_are_and_apart(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = experiment() + scores_of("news/npo_gdr/full_bf16/seed0/bf16", 12.0)
    plot_slope(scores, over_seeds(scores), ("nf4",), tmp_path)

    axes = drawn[0].axes[0]
    low, high = axes.get_ylim()
    left = sorted(text.get_position()[1] for text in axes.texts if text.get_position()[0] < 0)
    assert left[1] - left[0] == pytest.approx(slope.NUMBER_GAP / slope.HEIGHT)  # 12 and 12
    assert left[2] == pytest.approx((30 - low) / (high - low))
    assert left[0] * slope.HEIGHT >= slope.NUMBER_BOTTOM


def test_only_privleak_reaches_below_0_and_has_no_limit(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = [score for score in experiment() if score.metric != "privleak"]
    for cell, value in (("target", -100.0), ("retrain", 0.0), ("npo_gdr/full/seed0", 40.0)):
        for precision in ("bf16", "nf4"):
            scores += [
                score
                for score in scores_of(f"news/{cell}/{precision}", value)
                if score.metric == "privleak"
            ]
    plot_slope(scores, over_seeds(scores), ("nf4",), tmp_path)

    for axes, metric in zip(drawn[0].axes, ROWS, strict=True):
        low, high = axes.get_ylim()
        assert (low < -100) if metric == "privleak" else (low == 0)
        assert high > 42 if metric == "privleak" else high <= 180
    privleak = drawn[0].axes[list(ROWS).index("privleak")]
    assert line_of(privleak, FULL.colour) == [40.0, 40.0]
    assert drawn[0].axes[0].texts and len(drawn[0].legends) == 1  # no mark to explain


def test_a_diverged_variant_is_a_cross_in_a_strip_below_0(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = experiment() + scores_of("news/npo_gdr/full_bf16/seed0/nf4", None)
    plot_slope(scores, over_seeds(scores), ("nf4",), tmp_path)

    figure = drawn[0]
    assert figure.axes[0].get_ylim()[0] < 0
    assert [text.get_text() for text in figure.legends[1].get_texts()] == ["a run diverged"]
    assert numbers(figure.axes[0], LINES["full_bf16"].colour) == []


def test_references_are_named_beside_the_last_column_alone(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    plot_slope(
        experiment(("npo_gdr", "npo_klr")),
        over_seeds(experiment(("npo_gdr", "npo_klr"))),
        ("nf4",),
        tmp_path,
    )

    named = [{text.get_text() for text in axes.texts} >= {"target"} for axes in drawn[0].axes]
    assert named == [False] * len(ROWS) + [True] * len(ROWS)


def test_more_than_four_columns_stand_in_bands_that_share_their_scales(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    objectives = ("ga", "npo", "ga_gdr", "ga_klr", "npo_gdr")
    plot_slope(experiment(objectives), over_seeds(experiment(objectives)), ("nf4",), tmp_path)

    panels = drawn[0].axes
    tops = [axes for axes in panels if axes.get_title(loc="left")]
    names = [axes.get_title(loc="left") for axes in tops]
    assert names == ["NEWS · GA", "NEWS · NPO", "NEWS · GA+GDR", "NEWS · GA+KLR", "NEWS · NPO+GDR"]
    boxes = [axes.get_position() for axes in tops]
    assert boxes[0].y0 == boxes[2].y0 > boxes[3].y0 == boxes[4].y0
    assert boxes[0].x0 == boxes[3].x0 < boxes[1].x0 == boxes[4].x0
    assert min(axes.get_position().y0 for axes in panels[: len(ROWS)]) > boxes[3].y1
    assert {axes.get_ylim() for axes in tops} == {tops[0].get_ylim()}
    assert [bool(axes.get_ylabel()) for axes in tops] == [True, False, False, True, False]


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    scores = experiment() + scores_of("news/npo_gdr/full_bf16/seed0/nf4", None)
    write_metrics(tmp_path / "metrics.csv", scores)
    write_summaries(tmp_path / "summary.csv", "mini", over_seeds(scores))
    plot_slope(scores, over_seeds(scores), ("nf4", "rtn3g64"), tmp_path / "here")
    command = [
        sys.executable,
        SCRIPT,
        "--metrics",
        tmp_path / "metrics.csv",
        "--summary",
        tmp_path / "summary.csv",
    ]
    command += ["--precisions", "nf4", "rtn3g64", "--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["slope.pdf", "slope.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
