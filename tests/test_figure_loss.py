"""The loss curves of unlearning runs, read from logs of a few lines."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qunlearn.analysis.metrics import Cell
from qunlearn.experiment.labels import LINES
from qunlearn.report.figures import loss
from qunlearn.report.figures.loss import (
    FORGET,
    LOG,
    NO_RETAIN,
    RETAIN,
    axis,
    plot_loss_curves,
    read_run,
)
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_loss_curves.py"
FULL, LORA = "news/npo_gdr/full/seed0", "news/npo_gdr/lora/seed0"


def write_run(
    folder: Path, model: str, updates: int = 30, status: str = "ok", retain: bool = True
) -> None:
    """A log every ten updates: forget NLL update / 10, retain loss a tenth of it."""
    lines: list[dict[str, Any]] = []
    for step in range(10, updates + 1, 10):
        lines.append({"step": step, "nll_forget": step / 10})
        terms = {"loss_retain": step / 100} if retain else {}
        lines.append({"loss": 1.0, "loss_forget": 2.0, **terms, "step": step})
    write_lines(folder, model, lines, status)


def write_lines(folder: Path, model: str, lines: list[Any], status: str = "ok") -> None:
    run = folder / model
    run.mkdir(parents=True)
    (run / LOG).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (run / "manifest.json").write_text(json.dumps({"status": status}), encoding="utf-8")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(loss, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def lines_of(axes: Axes, adapter: str) -> list[Any]:
    return [line for line in axes.lines if line.get_color() == LINES[adapter].colour]


def test_a_run_is_read_by_metric(tmp_path: Path) -> None:
    write_run(tmp_path, FULL, updates=20)
    run = read_run(tmp_path, Cell.parse(f"{FULL}/bf16"))

    assert run.points == {FORGET: [(10, 1.0), (20, 2.0)], RETAIN: [(10, 0.1), (20, 0.2)]}
    assert not run.diverged


def test_what_is_not_finite_is_no_point(tmp_path: Path) -> None:
    lines = [{"step": 10, FORGET: 1.5}, {"step": 20, FORGET: math.nan}]
    write_lines(tmp_path, FULL, [*lines, {"step": 20, RETAIN: math.inf}], "diverged")
    run = read_run(tmp_path, Cell.parse(f"{FULL}/bf16"))

    assert run.points == {FORGET: [(10, 1.5)], RETAIN: []}
    assert run.diverged


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model 'news/full': write <corpus>/<objective>"):
        plot_loss_curves(tmp_path, ["news/full"], tmp_path)
    with pytest.raises(InputError, match=r"model 'news/target': write <corpus>/<objective>"):
        plot_loss_curves(tmp_path, ["news/target"], tmp_path)
    with pytest.raises(InputError, match="models: none to draw; give at least one of an adapter"):
        plot_loss_curves(tmp_path, ["news/npo_gdr/lora_matched/seed0"], tmp_path)
    with pytest.raises(InputError, match=r"full/seed0/train_log\.jsonl: no such file"):
        plot_loss_curves(tmp_path, [FULL], tmp_path)
    write_lines(tmp_path, LORA, [{"step": 10, "loss": 1.0}])
    with pytest.raises(InputError, match="no line with a step and nll_forget; unlearn again"):
        plot_loss_curves(tmp_path, [LORA], tmp_path)


def test_every_variant_is_a_line_that_ends_in_its_marker(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    write_run(tmp_path, FULL, updates=30)
    write_run(tmp_path, LORA, updates=20)
    control = "news/npo_gdr/lora_scaled0.5/seed0"  # has no log, and needs none
    plot_loss_curves(tmp_path, [FULL, LORA, control], tmp_path)

    forget, retain = drawn[0].axes
    (full,), (lora,) = lines_of(forget, "full"), lines_of(forget, "lora")
    assert (list(full.get_xdata()), list(full.get_ydata())) == ([10, 20, 30], [1, 2, 3])
    assert list(lora.get_ydata()) == [1, 2]
    assert full.get_markevery() == [-1] and full.get_marker() == LINES["full"].marker
    assert list(lines_of(retain, "full")[0].get_ydata()) == [0.1, 0.2, 0.3]
    assert forget.get_xscale() == forget.get_yscale() == "linear"
    assert forget.get_xlim() == retain.get_xlim() == (0, pytest.approx(31.5))
    assert retain.get_xlabel() == "updates"
    assert len(drawn[0].legends) == 1


def test_seeds_are_lines_alike(tmp_path: Path, drawn: list[Figure]) -> None:
    other = FULL.replace("seed0", "seed1")
    for model in (FULL, other):
        write_run(tmp_path, model)
    plot_loss_curves(tmp_path, [FULL, other], tmp_path)

    assert len(lines_of(drawn[0].axes[0], "full")) == 2
    assert len(drawn[0].legends[0].get_texts()) == 1


def test_spans_that_differ_make_a_logarithmic_axis(tmp_path: Path, drawn: list[Figure]) -> None:
    write_run(tmp_path, FULL, updates=40)
    write_run(tmp_path, LORA, updates=10)
    plot_loss_curves(tmp_path, [FULL, LORA], tmp_path)

    assert [axes.get_xscale() for axes in drawn[0].axes] == ["log", "log"]
    assert drawn[0].axes[1].get_xlabel() == "updates (logarithmic)"


def test_an_axis_is_chosen_by_where_the_runs_end() -> None:
    assert axis([(1.0, 10.0), (1.0, 30.0)]) == (0.0, 31.5, "linear")
    low, high, kind = axis([(1.0, 10.0), (2.0, 31.0)])
    assert (low, high, kind) == (pytest.approx(1 / 1.15), pytest.approx(31 * 1.15), "log")
    assert axis([(1e-9, 1.0), (1.0, 5.0)])[0] == pytest.approx(5e-4 / 1.15)  # four decades
    assert axis([(0.0, 0.0)]) == axis([]) == (0.0, 1.0, "linear")


def test_a_diverged_run_ends_in_a_cross(tmp_path: Path, drawn: list[Figure]) -> None:
    write_run(tmp_path, FULL, updates=20, status="diverged")
    plot_loss_curves(tmp_path, [FULL], tmp_path)

    for axes, end in zip(drawn[0].axes, (2.0, 0.2), strict=True):
        line, cross = lines_of(axes, "full")
        assert not line.get_markevery()
        assert (cross.get_marker(), list(cross.get_xdata())) == ("x", [20])
        assert list(cross.get_ydata()) == [end]
    assert [text.get_text() for text in drawn[0].legends[1].get_texts()] == ["a run diverged"]


def test_one_that_diverged_before_its_first_line_is_a_cross_in_the_corner(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    write_run(tmp_path, FULL)
    write_run(tmp_path, LORA, updates=0, status="diverged")
    plot_loss_curves(tmp_path, [FULL, LORA], tmp_path)

    forget, retain = drawn[0].axes
    _, cross = lines_of(forget, "lora")
    assert cross.get_marker() == "x" and cross.get_transform() == forget.transAxes
    assert [line.get_marker() for line in lines_of(retain, "lora")] == [LINES["lora"].marker]


def test_an_objective_without_a_retain_term_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    alone = "news/ga/full/seed0"
    write_run(tmp_path, alone, retain=False)
    write_run(tmp_path, FULL)
    plot_loss_curves(tmp_path, [alone, FULL], tmp_path)

    texts = [[text.get_text() for text in axes.texts] for axes in drawn[0].axes]
    assert texts == [[], [NO_RETAIN], [], []]


def test_the_same_logs_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    write_run(tmp_path, FULL, updates=100)
    write_run(tmp_path, LORA, updates=20, status="diverged")
    plot_loss_curves(tmp_path, [FULL, LORA], tmp_path / "here")
    command = [sys.executable, SCRIPT, "--unlearned", tmp_path, "--models", FULL, LORA]
    command += ["--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["loss_curves.pdf", "loss_curves.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
