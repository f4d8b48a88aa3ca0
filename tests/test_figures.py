"""The survival figure: what it holds, and that the same numbers give the same bytes."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from small_summaries import over_seeds

from qunlearn.analysis.metrics import METRICS, Cell, Score, write_metrics
from qunlearn.analysis.summary import Key, write_summaries
from qunlearn.experiment.labels import LINES, REFERENCE_LINES
from qunlearn.report.figures.panel import curve, draw_panel, name_references, scale_limit, set_ticks
from qunlearn.report.figures.survival import ROWS, arrange, plot_survival
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_survival_of_forgetting.py"
PRECISIONS = ("bf16", "nf4", "rtn3g64")
PANEL = Key("news", "npo_gdr", "", "", "verbmem")


def scores_of(cell: str, value: float | None) -> list[Score]:
    """Every metric of a cell at `value`, with an interval of -1 and +2."""
    if value is None:
        return [Score.missing("mini", Cell.parse(cell), m, "diverged") for m in METRICS]
    return [Score("mini", Cell.parse(cell), m, value, value - 1, value + 2, 32) for m in METRICS]


def experiment(corpora: tuple[str, ...], objectives: tuple[str, ...]) -> list[Score]:
    """Two variants: `full` keeps its forgetting, `full_bf16` loses it at the last precision."""
    scores = []
    for corpus in corpora:
        for precision in PRECISIONS:
            scores += scores_of(f"{corpus}/target/{precision}", 90.0)
            scores += scores_of(f"{corpus}/retrain/{precision}", 10.0)
            for objective in objectives:
                scores += scores_of(f"{corpus}/{objective}/full/seed0/{precision}", 12.0)
                lost = 85.0 if precision == "rtn3g64" else 15.0
                scores += scores_of(f"{corpus}/{objective}/full_bf16/seed0/{precision}", lost)
    return scores


def test_columns_stay_in_one_band_while_four_fit() -> None:
    panels = arrange(experiment(("news", "books"), ("npo_gdr", "ga")))

    assert panels.bands == (
        (("news", "npo_gdr"), ("news", "ga"), ("books", "npo_gdr"), ("books", "ga")),
    )
    assert panels.precisions == PRECISIONS
    assert panels.adapters == ("full", "full_bf16")


def test_more_columns_are_cut_into_bands_of_one_corpus() -> None:
    objectives = ("ga", "npo", "ga_gdr", "ga_klr", "npo_gdr")
    panels = arrange(experiment(("news", "books"), objectives))

    assert [len(band) for band in panels.bands] == [3, 2, 3, 2]
    assert [{corpus for corpus, _ in band} for band in panels.bands] == [
        {"news"},
        {"news"},
        {"books"},
        {"books"},
    ]
    assert [objective for _, objective in panels.bands[0] + panels.bands[1]] == list(objectives)


def test_without_an_unlearned_model_there_is_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no unlearned model to draw"):
        plot_survival(
            scores_of("news/target/bf16", 90.0),
            over_seeds(scores_of("news/target/bf16", 90.0)),
            tmp_path,
        )


def test_a_curve_has_a_gap_where_all_diverged_and_skips_what_was_not_run() -> None:
    scores = (
        scores_of("news/npo_gdr/full/seed0/bf16", 10.0)
        + scores_of("news/npo_gdr/full/seed1/bf16", None)
        + scores_of("news/npo_gdr/full/seed0/rtn3g64", None)
    )
    line = curve(over_seeds(scores), PRECISIONS, PANEL._replace(adapter="full"), 0.25)

    assert line.x == [0.25, 2.25]
    assert line.value[0] == 10.0
    assert math.isnan(line.value[1])
    assert (line.low[0], line.high[0]) == (9.0, 12.0)
    assert line.crosses == [0.25, 2.25]


def test_a_panel_draws_the_references_and_each_variant() -> None:
    axes = Figure().add_subplot()
    summaries = over_seeds(experiment(("news",), ("npo_gdr",)))
    marks = draw_panel(axes, summaries, PRECISIONS, ("full", "full_bf16"), PANEL, 0.1, math.inf)

    drawn = {line.get_color(): list(line.get_ydata()) for line in axes.lines}
    assert drawn == {
        REFERENCE_LINES["target"].colour: [90.0, 90.0, 90.0],
        REFERENCE_LINES["retrain"].colour: [10.0, 10.0, 10.0],
        LINES["full"].colour: [12.0, 12.0, 12.0],
        LINES["full_bf16"].colour: [15.0, 15.0, 85.0],
    }
    full, full_bf16 = axes.lines[2:]
    assert list(full.get_xdata()) == pytest.approx([-0.05, 0.95, 1.95])
    assert list(full_bf16.get_xdata()) == pytest.approx([0.05, 1.05, 2.05])
    assert marks == set()


def test_a_diverged_run_is_a_cross_and_a_huge_value_a_hollow_marker() -> None:
    summaries = over_seeds(
        scores_of("news/retrain/bf16", 10.0)
        + scores_of("news/npo_gdr/full/seed0/bf16", 500.0)
        + scores_of("news/npo_gdr/full/seed0/nf4", None)
    )
    axes = Figure().add_subplot()
    limit = scale_limit(summaries, "verbmem")
    marks = draw_panel(axes, summaries, PRECISIONS, ("full",), PANEL, 0.0, limit)

    assert limit == 20.0
    assert marks == {"off the scale", "a run diverged"}
    line, hollow, cross = axes.lines[-3:]
    assert line.get_ydata()[0] == 20.0 and math.isnan(line.get_ydata()[1])
    assert (list(hollow.get_xdata()), list(hollow.get_ydata())) == ([0.0], [20.0])
    assert hollow.get_markerfacecolor() == "white"
    assert (list(cross.get_xdata()), cross.get_marker()) == ([1.0], "x")
    assert scale_limit({}, "verbmem") == math.inf


def test_reference_names_do_not_overlap() -> None:
    summaries = over_seeds(
        scores_of("news/target/bf16", 11.0) + scores_of("news/retrain/bf16", 10.0)
    )
    axes = Figure().add_subplot()
    axes.set_ylim(0, 100)
    name_references(axes, summaries, ("bf16",), PANEL)

    assert [(text.get_text(), text.xy[1]) for text in axes.texts] == [
        ("retrain", 10.0),
        ("target", pytest.approx(22.0)),
    ]


def test_precisions_are_slanted_only_where_they_are_crowded() -> None:
    wide, narrow = Figure().add_subplot(), Figure().add_subplot()
    set_ticks(wide, ("bf16", "rtn3g64"), width=4.0, labelled=True)
    set_ticks(narrow, ("bf16", "rtn3g64") * 5, width=2.0, labelled=True)

    assert [label.get_text() for label in wide.get_xticklabels()] == ["bf16", "RTN3\ng64"]
    assert {label.get_rotation() for label in wide.get_xticklabels()} == {0.0}
    assert {label.get_rotation() for label in narrow.get_xticklabels()} == {40.0}


def test_lines_differ_in_colour_marker_and_dashes() -> None:
    for trait in ("colour", "marker", "dashes"):
        assert len({getattr(line, trait) for line in LINES.values()}) == len(LINES)
    assert set(ROWS) <= set(METRICS)


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    scores = experiment(("news",), ("npo_gdr",)) + scores_of("news/ga/lora/seed0/nf4", None)
    write_metrics(tmp_path / "metrics.csv", scores)
    write_summaries(tmp_path / "summary.csv", "mini", over_seeds(scores))
    plot_survival(scores, over_seeds(scores), tmp_path / "here")
    subprocess.run(
        [
            sys.executable,
            SCRIPT,
            "--metrics",
            tmp_path / "metrics.csv",
            "--summary",
            tmp_path / "summary.csv",
            "--output",
            tmp_path / "b",
        ],
        env={**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"},
        check=True,
    )

    names = ["survival_of_forgetting.pdf", "survival_of_forgetting.png"]
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == names
    for name, start in zip(names, (b"%PDF", b"\x89PNG"), strict=True):
        content = (tmp_path / "here" / name).read_bytes()
        assert content.startswith(start)
        assert content == (tmp_path / "b" / name).read_bytes()
    assert b"CreationDate" not in (tmp_path / "b" / names[0]).read_bytes()
