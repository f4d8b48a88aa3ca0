"""The figure of the controls."""

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
from qunlearn.analysis.summary import Key, write_summaries
from qunlearn.experiment.labels import LINES, adapter_name, origin, precision_name
from qunlearn.report.figures import causes as controls
from qunlearn.report.figures.causes import METRIC, gather, plot_controls
from qunlearn.report.figures.interventions import draw_interventions, interventions
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_controls.py"
SIZES = {"full": 2.0, "full_bf16": 4.0, "lora": 5.0, "lora_scaled0.5": 2.5, "full_matched": 5.0}
KEY = Key("news", "npo_gdr", "", "rtn3g64", METRIC)


def score_of(cell: str, value: float) -> Score:
    return Score("mini", Cell.parse(cell), METRIC, value, value - 0.1, value + 0.2, 8)


def sizes(survival: Path, objective: str = "npo_gdr") -> list[Score]:
    """Updates of `SIZES` percent of the weights; reversion is a tenth of that."""
    scores = []
    for adapter, size in SIZES.items():
        cell = f"news/{objective}/{adapter}/seed0/rtn3g64"
        scores.append(score_of(cell, size / 10))
        write_cell(survival, cell, [replace(MATRIX, norm_w=100.0, norm_d=size)])
    return scores


def spared() -> list[Score]:
    cells = {"full_bf16/seed0/rtn3g64m": 0.2, "spare_other_bins/seed0/rtn3g64": 0.8}
    cells["spare_zero_bin/seed0/rtn3g64"] = 0.1
    return [score_of(f"news/npo_gdr/{cell}", value) for cell, value in cells.items()]


def points(axes: Axes, variant: str) -> list[tuple[float, float]]:
    """The markers in the variant's look."""
    look = LINES[variant]
    return [
        (round(float(x), 6), round(float(y), 6))
        for line in axes.lines
        if line.get_color() == look.colour and line.get_marker() == look.marker
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    ]


def draw(scores: list[Score], survival: Path, monkeypatch: pytest.MonkeyPatch) -> Figure:
    figures: list[Figure] = []
    monkeypatch.setattr(controls, "save", lambda figure, folder, name: figures.append(figure))
    plot_controls(scores, over_seeds(scores), survival, ["rtn3g64"], survival)
    return figures[0]


def test_controls_are_named_after_what_they_were_made_from() -> None:
    assert adapter_name("lora_scaled0.5") == "LoRA × 0.5"
    assert adapter_name("lora_scaled0.125") == "LoRA × 0.125"
    assert adapter_name("full_matched") == "FT at LoRA's norm"
    assert precision_name("rtn3g64m") == "RTN3 g64 mid-rise"
    assert precision_name("gptq4") == "GPTQ4"
    assert [origin(adapter) for adapter in SIZES] == ["full", "full_bf16", "lora", "lora", "full"]
    assert origin("spare_zero_bin") == "full_bf16"
    assert origin("lora_scaled") == "lora_scaled"


def test_points_stand_at_their_size_in_the_look_of_their_rank(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = draw(sizes(tmp_path), tmp_path, monkeypatch)

    (axes,) = figure.axes
    assert points(axes, "lora") == [(0.025, 0.25), (0.05, 0.5)]
    assert points(axes, "full") == [(0.02, 0.2), (0.05, 0.5)]
    assert points(axes, "full_bf16") == [(0.04, 0.4)]
    names = {text.get_text() for text in axes.texts}
    assert names == {"FT", "bf16 FT", "LoRA", "LoRA × 0.5", "FT at LoRA's norm"}


def test_a_size_is_the_mean_over_seeds(tmp_path: Path) -> None:
    scores = sizes(tmp_path)
    cell = "news/npo_gdr/lora/seed1/rtn3g64"
    write_cell(tmp_path, cell, [replace(MATRIX, norm_w=100.0, norm_d=9.0)])
    drawn = gather(
        [*scores, score_of(cell, 0.1)],
        over_seeds([*scores, score_of(cell, 0.1)]),
        tmp_path,
        ["rtn3g64"],
    )

    assert drawn.norms["news", "npo_gdr", "lora"] == pytest.approx(0.07)
    assert drawn.norms["news", "npo_gdr", "full"] == pytest.approx(0.02)


def test_a_size_is_read_where_it_was_measured_first(tmp_path: Path) -> None:
    """Only one of a run's precisions need have been measured: the first that is drawn."""
    scores = sizes(tmp_path)
    later = [score_of(f"news/npo_gdr/{adapter}/seed0/rtn2", 0.1) for adapter in SIZES]

    drawn = gather([*scores, *later], over_seeds([*scores, *later]), tmp_path, ["rtn3g64", "rtn2"])
    assert len(drawn.norms) == len(SIZES)


def test_only_corpora_and_objectives_with_a_control_have_a_row(tmp_path: Path) -> None:
    scores = [score_of("news/ga/lora/seed0/rtn3g64", 0.1), *sizes(tmp_path), *spared()]
    drawn = gather(scores, over_seeds(scores), tmp_path, ["rtn3g64"])

    assert drawn.rows == (("news", "npo_gdr"),)
    assert drawn.interventions


def test_a_diverged_control_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell("news", "npo_gdr", "full_matched", 0, "rtn3g64")
    write_cell(tmp_path, "news/npo_gdr/full_matched/seed0/rtn3g64", [])
    alone = [Score.missing("mini", cell, METRIC, DIVERGED)]
    figure = draw(alone, tmp_path, monkeypatch)

    assert points(figure.axes[0], "full") == []
    assert not figure.legends


def test_without_any_control_it_says_how_to_run_them(tmp_path: Path) -> None:
    plain = [score for score in sizes(tmp_path) if score.cell.adapter in LINES]
    with pytest.raises(InputError, match="no control to draw at rtn3g64; run with controls=true"):
        gather(plain, over_seeds(plain), tmp_path, ["rtn3g64"])
    with pytest.raises(InputError, match="no control to draw at rtn4"):
        gather(sizes(tmp_path), over_seeds(sizes(tmp_path)), tmp_path, ["rtn4"])
    with pytest.raises(InputError, match="precisions: none given"):
        gather(sizes(tmp_path), over_seeds(sizes(tmp_path)), tmp_path, [])
    with pytest.raises(InputError, match=r"rtn3g64\.csv: no such file"):
        gather(sizes(tmp_path), over_seeds(sizes(tmp_path)), tmp_path / "elsewhere", ["rtn3g64"])


def test_interventions_are_those_that_were_run_in_a_fixed_order(tmp_path: Path) -> None:
    rows = interventions(over_seeds([*spared(), *sizes(tmp_path)]), KEY)

    assert [(name, summary.value) for name, summary in rows] == [
        ("FT (bf16 weights), all rounded", 0.4),
        ("bf16 FT, zero-bin moves kept", 0.1),
        ("bf16 FT, other moves kept", 0.8),
        ("FT (bf16 weights), RTN3 g64 mid-rise", 0.2),
    ]
    assert interventions(over_seeds(sizes(tmp_path)), KEY) == []


def test_an_intervention_without_a_number_says_why() -> None:
    cells = {"full_bf16": None, "spare_zero_bin": DIVERGED, "spare_unmoved": UNDEFINED}
    scores = []
    for adapter, absent in cells.items():
        cell = Cell("news", "npo_gdr", adapter, 0, "rtn3g64")
        high = Score("mini", cell, METRIC, 1.9, 1.8, 2.0, 8)
        scores.append(Score.missing("mini", cell, METRIC, absent) if absent else high)
    axes = Figure().add_subplot()
    marks = draw_interventions(axes, over_seeds(scores), KEY)

    assert points(axes, "full_bf16") == [(1.5, 0.72)]
    assert marks == {"off the scale"}
    said = [text.get_text() for text in axes.texts]
    assert [said[2], said[4]] == ["diverged", "undefined: not forgotten"]


def test_interventions_have_their_own_panel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = draw([*sizes(tmp_path), *spared()], tmp_path, monkeypatch)

    scatter, panel = figure.axes
    assert [x for x, _ in points(panel, "full_bf16")] == [0.4, 0.1, 0.8, 0.2]
    assert scatter.get_ylim() == panel.get_xlim()
    assert "spare" not in str([text.get_text() for text in scatter.texts])


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    scores = [*sizes(tmp_path / "s"), *sizes(tmp_path / "s", "npo_klr"), *spared()]
    write_metrics(tmp_path / "metrics.csv", scores)
    write_summaries(tmp_path / "summary.csv", "mini", over_seeds(scores))
    sign_measurements(tmp_path / "s")
    plot_controls(scores, over_seeds(scores), tmp_path / "s", ["rtn3g64"], tmp_path / "here")
    command = [
        sys.executable,
        SCRIPT,
        "--metrics",
        tmp_path / "metrics.csv",
        "--summary",
        tmp_path / "summary.csv",
    ]
    command += ["--survival", tmp_path / "s", "--precisions", "rtn3g64"]
    command += ["--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["controls.pdf", "controls.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
