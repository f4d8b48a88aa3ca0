"""Every figure: what it shows of its numbers, what it says where there is none, and its bytes."""

import json
import math
import os
import runpy
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tyro
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from small_manifests import sign_measurements
from small_survival import BINS, MATRIX, STILL, write_cell

from qunlearn.analysis.metrics import DIVERGED, METRICS, UNDEFINED, Cell, Score, write_metrics
from qunlearn.analysis.selection.choice import Selection, choose, gather, write
from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.experiment.labels import LINES, REFERENCE_LINES
from qunlearn.report.figures import (
    page,
    plot_candidates,
    plot_controls,
    plot_loss_curves,
    plot_reversion,
    plot_slope,
    plot_update_over_step,
    plot_update_survival,
)
from qunlearn.report.figures.panels import apart, bands, counted, panels
from qunlearn.report.figures.reversion_axis import span
from qunlearn.report.figures.values import draw_values
from qunlearn.run.errors import InputError
from qunlearn.survival.table import Bin

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot.py"
REVERSIONS = ("reversion_nll_forget", "reversion_verbmem", "reversion_knowmem")
ERRORS = {"bf16": 0.0, "nf4": 0.09, "rtn3g64": 0.25}
RUNS = [f"news/npo_gdr/{adapter}/seed0" for adapter in LINES]
SCORED = "--metrics {run}/metrics.csv --summary {run}/summary.csv"
MEASURED = "--survival {run}/survival"
UPDATE = f"{MEASURED} --corpus news --objective npo_gdr --seed 0 --adapters {' '.join(LINES)}"
FLAGS = {
    "survival_of_forgetting": SCORED,
    "reversion": f"{SCORED} {MEASURED}",
    "pareto": SCORED,
    "slope": f"{SCORED} --precisions nf4 rtn3g64",
    "controls": f"{SCORED} {MEASURED} --precisions nf4 rtn3g64",
    "update_survival": f"{UPDATE} --precisions nf4 rtn3g64",
    "update_over_step": f"{UPDATE} --precisions nf4 rtn3g64",
    "loss_curves": f"--unlearned {{run}}/trained --models {' '.join(RUNS)}",
    "candidates": "--selections {run}/choice.json",
}
VARIANTS = ["FT (fp32 masters)", "FT (bf16 weights)", "LoRA"]
REFERENCES = ["target (not unlearned)", "retrain (never knew)"]
MATCHED = "FT at LoRA's norm"
UNMOVED = "25.0 % with d = 0"
LEGENDS = {
    "survival_of_forgetting": [*VARIANTS, *REFERENCES, "off the scale", "a run diverged"],
    "reversion": [*VARIANTS, "off the scale", "a run diverged", "undefined: not forgotten"],
    "pareto": [*VARIANTS, *REFERENCES, "to RTN3 g64", "to NF4", "a run diverged"],
    "slope": [*VARIANTS, *REFERENCES, "off the scale", "a run diverged"],
    "controls": ["FT (fp32 masters)", "FT (bf16 weights)", MATCHED],
    "update_survival": [plot_update_survival.UNCHANGED_NAME],
    "update_over_step": [
        f"FT (fp32 masters): {UNMOVED}",
        f"FT (bf16 weights): {UNMOVED}",
        "LoRA: diverged",
        "expected: min(|d| / step, 1)",
        "no flip in the bin",
    ],
    "loss_curves": [*VARIANTS, "a run diverged"],
    "candidates": ["LoRA", *REFERENCES, "chosen"],
}
WORDS = {
    "survival_of_forgetting": {"n = 32 items, 1 seed", "target", "retrain", "RTN3\ng64"},
    "reversion": {"n = 32 items, 1 seed", "survived", "back at\ntarget", "NF4", "RTN3 g64"},
    "pareto": {"n = 32 items, 1 seed", "↖ better", "KnowMem, ROUGE-L  (← better)"},
    "slope": {"n = 32 items, 1 seed", "85.0", "retrain"},
    "controls": {"n = 32 items, 1 seed", "× 0.5", "bf16 FT, zero-bin moves kept", "diverged"},
    "update_survival": {"NEWS · NPO+GDR · seed 0", "overall 0.25", "diverged", "q"},
    "update_over_step": {"NEWS · NPO+GDR · seed 0", "RTN3 g64", "|d| / step"},
    "loss_curves": {"updates (logarithmic)", "NEWS · NPO+GDR"},
    "candidates": {"NEWS 30 on forget and 29 on retain", "LoRA: r1 after 5 epochs"},
}


def draw(figure: str, output: Path, flags: str) -> None:
    """As the workflow does, in this process."""
    main = runpy.run_path(str(SCRIPT))["main"]
    tyro.cli(main, args=["--figure", figure, "--output", str(output), *flags.split()])


def written(folder: Path, scores: Sequence[Score]) -> tuple[Path, Path]:
    """`metrics.csv` and `summary.csv` of some scores."""
    write_metrics(folder / "metrics.csv", scores)
    write_summaries(folder / "summary.csv", "mini", summarised(scores))
    return folder / "metrics.csv", folder / "summary.csv"


def score(cell: str, metric: str, value: float | str) -> Score:
    """With an interval of -1 and +2, of a reversion a hundredth of it; or a word for no number."""
    parsed = Cell.parse(f"news/{cell}")
    if isinstance(value, str):
        return Score("mini", parsed, metric, absent=value)
    width = 0.01 if metric in REVERSIONS else 1.0
    return Score("mini", parsed, metric, value, value - width, value + 2 * width, 32)


def summarised(scores: Iterable[Score]) -> dict[Key, Summary]:
    """Each by itself: of one seed."""
    found = {}
    for own in scores:
        cell, lost = own.cell, (own.absent == DIVERGED, own.absent == UNDEFINED)
        key = Key(cell.corpus, cell.objective, cell.adapter, cell.precision, own.metric)
        found[key] = Summary(own.value, own.ci_low, own.ci_high, 1, *map(int, lost), own.n)
    return found


def experiment() -> list[Score]:
    """`full` keeps its forgetting, `full_bf16` loses it, `lora` is off the scale and diverges."""
    levels: dict[str, list[float | str]] = {
        "target": [90.0, 88.0, 86.0],
        "retrain": [10.0, 11.0, 12.0],
        "npo_gdr/full/seed0": [12.0, 12.5, 13.0],
        "npo_gdr/full_bf16/seed0": [15.0, 20.0, 85.0],
        "npo_gdr/lora/seed0": [14.0, 500.0, DIVERGED],
    }
    shares: dict[str, list[float | str]] = {
        "npo_gdr/full/seed0": [0.0, 0.1, 0.2],
        "npo_gdr/full_bf16/seed0": [0.0, 0.3, 9.0],
        "npo_gdr/lora/seed0": [0.0, UNDEFINED, DIVERGED],
        "npo_gdr/lora_scaled0.5/seed0": [0.0, 0.1, 0.3],
        "npo_gdr/full_matched/seed0": [0.0, 0.2, 0.4],
        "npo_gdr/spare_zero_bin/seed0": [0.0, 0.1, DIVERGED],
    }
    return [
        score(f"{cell}/{precision}", metric, value)
        for kinds, metrics in ((levels, METRICS), (shares, REVERSIONS))
        for cell, values in kinds.items()
        for precision, value in zip(ERRORS, values, strict=True)
        for metric in metrics
    ]


def write_log(unlearned: Path, model: str, steps: Iterable[int], status: str = "ok") -> None:
    """Forget NLL a tenth of the update, retain loss a hundredth of it."""
    folder = unlearned / model
    folder.mkdir(parents=True)
    lines = [{"step": s, "nll_forget": s / 10, "loss_retain": s / 100} for s in steps]
    (folder / plot_loss_curves.LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "manifest.json").write_text(json.dumps({"status": status}))


def selection() -> Selection:
    """Of which the rule takes (10, 40); (20, 35) is beaten, and one candidate diverged."""
    names = ("knowmem", "utility", "nll_forget")
    places = [(0.0, 30.0), (10.0, 40.0), (50.0, 60.0), (20.0, 35.0)]
    answers: dict[str, Any] = {
        f"r{i}": [{"epoch5": {"status": "ok", **dict(zip(names, (*xy, 2.0), strict=True))}}]
        for i, xy in enumerate(places)
    }
    answers["r9"] = [{"epoch5": {"status": "diverged"}}]
    references = {"target": (80.0, 62.0, 0.1), "retrain": (15.0, 55.0, 4.0)}
    scores = {name: dict(zip(names, own, strict=True)) for name, own in references.items()}
    asked, tried = {"forget": 30, "retain": 29}, gather(list(answers), answers)
    return choose("news/npo_gdr/lora", "muse", "split", "", asked, **scores, candidates=tried)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a made-up experiment with all that the figures read."""
    folder = tmp_path_factory.mktemp("run")
    written(folder, experiment())
    for size, adapter in enumerate((*LINES, "lora_scaled0.5", "full_matched"), start=1):
        for precision, error in ERRORS.items():
            row = replace(MATRIX, norm_w=100.0, norm_d=size, rounding_error=error)
            still = replace(STILL, layer=1, rounding_error=error)
            rows = [replace(row, cosine_adaptive=0.25), still]
            diverged = adapter == "lora" and precision != "bf16"
            cell = f"news/npo_gdr/{adapter}/seed0/{precision}"
            bins = () if diverged else (*BINS[:3], Bin(0.2, 0.25, 400, 0, 9), *BINS[3:])
            write_cell(folder / "survival", cell, [] if diverged else rows, bins)
    sign_measurements(folder / "survival")
    write_log(folder / "trained", RUNS[0], range(10, 41, 10))
    write_log(folder / "trained", RUNS[1], [10, 20])
    write_log(folder / "trained", RUNS[2], [10], "diverged")
    write(folder / "choice.json", selection())
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(page, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def legend(figure: Figure) -> list[str]:
    """The labels of the legend, row by row."""
    (own,) = figure.subfigs[0].legends
    return [text.get_text() for text in own.get_texts()]


def values(axes: Axes, colour: str) -> list[list[float]]:
    """The heights of the lines in a colour that stand for data."""
    lines = [line for line in axes.lines if line.get_color() == colour and len(line.get_xdata())]
    return [np.asarray(line.get_ydata(), float).tolist() for line in lines]


@pytest.mark.parametrize("figure", FLAGS)
def test_a_figure_says_what_it_shows_and_no_word_is_cut_off(
    figure: str, run: Path, drawn: list[Figure]
) -> None:
    draw(figure, run, FLAGS[figure].format(run=run))

    assert set(legend(drawn[0])) >= set(LEGENDS[figure])
    assert len(legend(drawn[0])) == len(set(legend(drawn[0])))
    said = "\n".join(text.get_text() for text in drawn[0].findobj(Text))
    assert not [words for words in WORDS[figure] if words not in said]
    drawn[0].draw_without_rendering()
    named = [
        own
        for axes in drawn[0].axes
        for own in (*axes.get_children(), axes.xaxis.label, axes.yaxis.label)
        if isinstance(own, Text) and own.get_text()
    ]
    head = drawn[0].subfigs[0].legends[0].get_window_extent()
    boxes = {own.get_text(): own.get_window_extent() for own in named}
    page = drawn[0].bbox.padded(1)
    cut = [word for word, box in boxes.items() if Bbox.intersection(box, page).bounds != box.bounds]
    assert not cut and head.x1 < page.x1
    assert head.y0 > max(box.y1 for box in boxes.values())


@pytest.mark.parametrize("figure", FLAGS)
def test_the_same_numbers_give_the_same_bytes_in_another_process(
    figure: str, run: Path, tmp_path: Path
) -> None:
    draw(figure, tmp_path / "here", FLAGS[figure].format(run=run))
    command = [sys.executable, SCRIPT, "--figure", figure, "--output", tmp_path / "there"]
    command += FLAGS[figure].format(run=run).split()
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    name = f"{figure}_news_npo_gdr" if figure.startswith("update_") else figure
    here = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    there = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    assert here == there
    assert here[f"{name}.png"].startswith(b"\x89PNG") and here[f"{name}.pdf"].startswith(b"%PDF")
    assert set(here) == {f"{name}.png", f"{name}.pdf"}


def test_every_variant_is_a_line_over_the_precisions(run: Path, drawn: list[Figure]) -> None:
    draw("survival_of_forgetting", run, FLAGS["survival_of_forgetting"].format(run=run))

    for axes in drawn[0].axes:
        assert values(axes, LINES["full"].colour) == [[12.0, 12.5, 13.0]]
        assert values(axes, LINES["full_bf16"].colour) == [[15.0, 20.0, 85.0]]
        assert values(axes, REFERENCE_LINES["target"].colour) == [[90.0, 88.0, 86.0]]
        line, edge, cross = values(axes, LINES["lora"].colour)
        assert line[:2] == [14.0, 180.0] and math.isnan(line[2])  # twice target's 90, then a gap
        assert edge == [180.0] == [axes.get_ylim()[1]]
        assert len(cross) == 1 and axes.get_ylim()[0] < 0  # in a strip of its own


def test_a_slope_has_its_numbers_at_both_ends(run: Path, drawn: list[Figure]) -> None:
    draw("slope", run, FLAGS["slope"].format(run=run))

    assert len(drawn[0].axes) == len(plot_slope.ROWS)
    for axes in drawn[0].axes:
        colour = LINES["full_bf16"].colour
        numbers = [text.get_text() for text in axes.texts if text.get_color() == colour]
        assert [float(number) for number in numbers] == [15.0, 85.0]
        assert (axes.get_ylim()[1] > 180) == (axes.get_ylabel().startswith("PrivLeak"))


def test_reversions_stand_at_the_rounding_error_of_the_target(
    run: Path, drawn: list[Figure]
) -> None:
    draw("reversion", run, FLAGS["reversion"].format(run=run))

    (first, *_) = drawn[0].axes
    line = next(line for line in first.lines if line.get_color() == LINES["full"].colour)
    assert line.get_xdata().tolist() == pytest.approx([0.09, 0.25])  # bf16 rounds nothing
    assert line.get_ydata().tolist() == [0.1, 0.2]
    assert values(first, LINES["full_bf16"].colour) == [[0.3, 1.5], [1.5]]


def test_where_no_grid_has_a_place_the_panel_says_why(tmp_path: Path, drawn: list[Figure]) -> None:
    write_cell(tmp_path, "news/npo_gdr/full/seed0/bf16", [])
    sign_measurements(tmp_path)
    scores = [score("npo_gdr/full/seed0/bf16", metric, 0.0) for metric in REVERSIONS]
    plot_reversion.plot(*written(tmp_path, scores), tmp_path, tmp_path)

    assert plot_reversion.NO_PLACE in [text.get_text() for text in drawn[0].axes[0].texts]


def test_arrows_lead_from_bf16_to_few_bits(run: Path, drawn: list[Figure]) -> None:
    draw("pareto", run, FLAGS["pareto"].format(run=run))

    for axes in drawn[0].axes:
        ends = [text.xy for text in axes.texts if getattr(text, "arrow_patch", None)]
        assert ends == [(12.5, 12.5), (13, 13), (20, 20), (85, 85), (500, 500)]
        assert values(axes, LINES["full"].colour) == [[12.0]]
        assert values(axes, REFERENCE_LINES["retrain"].colour) == [[10.0, 11.0, 12.0]]


def test_controls_stand_at_the_mean_size_of_their_seeds(
    run: Path, tmp_path: Path, drawn: list[Figure]
) -> None:
    cells = {"lora/seed0": 5.0, "lora/seed1": 9.0, "full_matched/seed0": 5.0}
    scores = [score(f"npo_gdr/{cell}/rtn4", REVERSIONS[0], 0.5) for cell in cells]
    for cell, size in cells.items():
        row = replace(MATRIX, norm_w=100.0, norm_d=size)
        write_cell(tmp_path, f"news/npo_gdr/{cell}/rtn4", [row])
    sign_measurements(tmp_path)
    plot_controls.plot(*written(tmp_path, scores), tmp_path, ["rtn4"], tmp_path)
    draw("controls", run, FLAGS["controls"].format(run=run))

    lines = [line for line in drawn[0].axes[0].lines if line.get_label() in ("LoRA", MATCHED)]
    assert [line.get_xdata()[0] for line in lines] == pytest.approx([0.05, 0.07])
    assert len(drawn[1].axes) == 3  # two precisions, and the interventions


def test_a_heat_map_has_a_cell_a_matrix(run: Path, drawn: list[Figure]) -> None:
    draw("update_survival", run, FLAGS["update_survival"].format(run=run))

    images = [axes.collections[0] for axes in drawn[0].axes if axes.yaxis_inverted()]
    assert len(images) == 2 * 2 * 2  # halves, precisions, and variants that did not diverge
    np.testing.assert_equal(images[0].get_array().filled(np.nan), [[0.25], [np.nan]])
    assert {image.get_clim() for image in images} == {(0, 1.0), (0, 1.2)}


def test_matrices_of_one_layer_and_name_count_as_one() -> None:
    """Two experts of equal norm, of which one arrives and one does not."""
    rows = [MATRIX, replace(MATRIX, projection_adaptive=0.0, cosine_adaptive=0.0)]
    rows.append(replace(MATRIX, layer=1, module="up_proj"))
    found = plot_update_survival.grid(rows, "projection_adaptive")

    assert found is not None and (found.layers, found.modules) == ([0, 1], ["q_proj", "up_proj"])
    np.testing.assert_allclose(found.values, [[0.5, np.nan], [np.nan, 1.0]])
    assert found.whole == pytest.approx(2 / 3)
    still = plot_update_survival.grid([STILL], "projection_adaptive")
    assert still is not None and still.whole is None


def test_counts_become_shares_of_all_weights() -> None:
    found = plot_update_over_step.moves(BINS)  # 2000 weights, 600 of them unmoved

    assert found.unmoved == 0.3
    assert found.shares == pytest.approx((0.0995, 0.1, 0.5, 0.0005))
    assert found.edges == (0.01, 0.1, 1.0, 1.25893, 1.58489)
    assert [share for _, share in found.flips] == [0.25, 1.0]  # of bins of 200 weights and more


def test_a_run_is_a_line_that_ends_in_its_marker_or_a_cross(run: Path, drawn: list[Figure]) -> None:
    draw("loss_curves", run, FLAGS["loss_curves"].format(run=run))

    forget, retain = drawn[0].axes
    assert values(forget, LINES["full"].colour) == [[1, 2, 3, 4]]
    assert values(retain, LINES["full_bf16"].colour) == [[0.1, 0.2]]
    assert values(forget, LINES["lora"].colour) == [[1.0], [1.0]]
    assert forget.get_xscale() == "log"  # the runs' lengths differ by more than 3


def test_without_a_retain_term_the_panel_says_so(tmp_path: Path, drawn: list[Figure]) -> None:
    write_log(tmp_path, "news/ga/full/seed0", [10])
    log = tmp_path / "news/ga/full/seed0" / plot_loss_curves.LOG
    log.write_text('{"step": 10, "nll_forget": 2.0}\n{"step": 20, "nll_forget": NaN}\n')
    write_log(tmp_path, "news/ga/lora/seed0", [], "diverged")
    plot_loss_curves.plot(tmp_path, ["news/ga/full/seed0", "news/ga/lora/seed0"], tmp_path)

    forget, retain = drawn[0].axes
    assert values(forget, LINES["full"].colour) == [[2.0]]
    assert len(values(forget, LINES["lora"].colour)) == 1  # a cross before its first line
    assert [text.get_text() for text in retain.texts] == [plot_loss_curves.NO_RETAIN]


def test_an_axis_is_chosen_by_where_the_runs_end() -> None:
    axis = plot_loss_curves.axis
    assert axis([(1.0, 10.0), (1.0, 30.0)]) == (0.0, 31.5, "linear")
    assert axis([(1.0, 10.0), (2.0, 31.0)])[1:] == (pytest.approx(35.65), "log")
    assert axis([(1e-9, 1.0), (1.0, 5.0)])[0] == pytest.approx(5e-4 / 1.15)  # four decades
    assert axis([(0.0, 0.0)]) == axis([]) == (0.0, 1.0, "linear")


def test_every_standing_candidate_is_drawn_and_the_chosen_one_ringed(
    run: Path, drawn: list[Figure]
) -> None:
    draw("candidates", run, FLAGS["candidates"].format(run=run))

    (axes,) = drawn[0].axes
    front, beaten = values(axes, LINES["lora"].colour)
    assert (front, beaten) == ([30.0, 40.0, 60.0], [35.0])
    assert values(axes, plot_candidates.RING["color"])[0] == [40.0]


@pytest.mark.parametrize(
    ("figure", "flags", "message"),
    [
        ("pareto", "--metrics {run}/metrics.csv", "--summary: the figure pareto needs it"),
        ("pareto", SCORED + " --seed 0", "--seed: the figure pareto does not read it"),
        ("slope", SCORED, "--precisions: the figure slope needs it"),
        ("slope", SCORED + " --precisions rtn3g64m", "precisions: none given to compare with bf16"),
        ("slope", SCORED + " --precisions fp4", "precisions: fp4 not in the metrics"),
        ("pareto", SCORED.replace("{run}", "{none}"), "metrics: no unlearned model to draw"),
        ("reversion", SCORED + " --survival {none}", r"full/seed0/bf16\.csv: no such file"),
        ("controls", f"{SCORED} {MEASURED} --precisions rtn4", "no control to draw at rtn4; run"),
        ("update_over_step", UPDATE + " --precisions rtn4", r"rtn4_histogram\.csv: no such file"),
        ("update_survival", UPDATE + " --precisions rtn4", r"rtn4\.csv: no such file"),
        ("loss_curves", "--unlearned {run} --models news/target", "models: none to draw; give"),
        ("loss_curves", "--unlearned {run} --models " + RUNS[0], r"train_log\.jsonl: no such file"),
    ],
)
def test_what_is_missing_is_named(
    figure: str, flags: str, message: str, run: Path, tmp_path: Path
) -> None:
    written(tmp_path, [score("target/bf16", "verbmem", 90.0)])
    with pytest.raises(InputError, match=message):
        draw(figure, tmp_path, flags.format(run=run, none=tmp_path))


def test_more_than_four_columns_are_cut_into_bands_of_one_corpus() -> None:
    columns = [(corpus, objective) for corpus in ("news", "books") for objective in "abcde"]
    assert [len(band) for band in bands(columns)] == [3, 2, 3, 2]
    assert all(len({corpus for corpus, _ in band}) == 1 for band in bands(columns))
    assert bands(columns[3:7]) == [columns[3:7]]

    found = panels(Figure().subfigures(), bands(columns), {"x": "X", "y": "Y"}, str)
    first = [found[band[0], "x"] for band in bands(columns)]
    assert [axes.get_ylabel() for axes in first] == ["X"] * 4
    first[0].set_ylim(0, 9)
    assert {found[column, "x"].get_ylim() for column in columns} == {(0, 9)}


def test_names_are_moved_until_they_are_apart() -> None:
    assert apart([0.1, 0.5], 0.1) == [0.1, 0.5]
    assert apart([], 0.1) == []
    moved = apart([0.2, 0.2, 0.98, 0.99], 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in pairwise(moved)) and moved[-1] <= 1.0


def test_intervals_are_cut_and_the_scale_shows_what_is_left() -> None:
    axes = Figure().add_subplot()
    own = Summary(0.5, -2.0, 0.7, 1, 0, 0, 8)
    draw_values(axes, [1.0], [own], LINES["full"], "FT", (-0.5, 1.5))
    assert axes.collections[0].get_segments()[0][:, 1].tolist() == [-0.5, 0.7]
    assert span([own]) == (-0.5, pytest.approx(1.1))
    assert span([own, replace(own, diverged=1)])[0] < -0.5
    assert counted([own, replace(own, n=9, seeds=3)]) == "n = 8 to 9 items, 3 seeds"
    assert counted([replace(own, n=None)]) == "no number"


def test_lines_differ_in_colour_marker_and_dashes() -> None:
    for trait in ("colour", "marker", "dashes"):
        assert len({getattr(line, trait) for line in LINES.values()}) == len(LINES)
