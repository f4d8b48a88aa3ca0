"""Every figure: what it shows of its numbers, and what it says where there is none."""

import json
import math
import runpy
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from small_summaries import by_key, single
from small_survival import BINS, MATRIX, STILL, matrices, write_cell
from test_selection import selection

from qunlearn.analysis.forecast_scores import write_scored
from qunlearn.analysis.frame import SCORED_TABLE
from qunlearn.analysis.selection.choice import write
from qunlearn.analysis.summary import Scores, write_summaries
from qunlearn.experiment.controls import NEEDED
from qunlearn.experiment.labels import LINES, REFERENCE_LINES
from qunlearn.experiment.names import DIVERGED, METRICS, UNDEFINED, Cell
from qunlearn.report.figures import page, plot_controls, plot_update_survival
from qunlearn.report.mechanism_tables import arrivals, write_mechanism
from qunlearn.run.errors import InputError
from qunlearn.run.manifest import write_manifest

REVERSIONS = ("reversion_nll_forget", "reversion_verbmem", "reversion_knowmem")
ERRORS = {"bf16": 0.0, "nf4": 0.09, "rtn3g64": 0.25}
RUNS = [f"news/npo_gdr/{adapter}/seed0" for adapter in NEEDED]
CELLS = " ".join(f"{run}/{precision}" for precision in ("nf4", "rtn3g64") for run in RUNS)
SWEPT = "news/npo_gdr/lora"
NAMES = {
    "survival_of_forgetting": "",
    "reversion": "",
    "pareto": "",
    "slope": "",
    "controls": "",
    "update_survival": CELLS,
    "update_over_step": CELLS,
    "loss_curves": " ".join(RUNS),
    "candidates": SWEPT,
    "forecast": "",
}


def draw(figure: str, run: Path, output: Path, names: str | None = None) -> None:
    """As the workflow does, in this process."""
    main = runpy.run_path(str(ROOT / "workflow/scripts/plot.py"))["main"]
    words = (NAMES[figure] if names is None else names).split()
    main(figure, run, output, tuple(words))


def written(folder: Path, scores: Scores, measured: bool = False) -> None:
    """`summary.csv` of some scores, and `mechanism.csv` of what was measured of them."""
    tables = folder / "tables"
    write_summaries(tables / "summary.csv", "mini", by_key(scores))
    if measured:
        write_mechanism(tables / "mechanism.csv", scores, arrivals(scores, folder / "survival"))


def score(cell: str, metric: str, value: float | str) -> Scores:
    """With an interval of -1 and +2, of a reversion a hundredth of it; or a word for no number."""
    width = 0.01 if metric in REVERSIONS else 1.0
    return {(Cell.parse(f"news/{cell}"), metric): single(value, width, 2 * width)}


def experiment() -> Scores:
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
    return {
        key: own
        for kinds, metrics in ((levels, METRICS), (shares, REVERSIONS))
        for cell, values in kinds.items()
        for precision, value in zip(ERRORS, values, strict=True)
        for metric in metrics
        for key, own in score(f"{cell}/{precision}", metric, value).items()
    }


def forecasts() -> pd.DataFrame:
    """Of `full_bf16` one lost and one off the scale; of `full` an infinite ratio and none."""
    cells = [
        ("full_bf16", "rtn3g64", 0.5, 0.9),
        ("full_bf16", "nf4", 2.0, -4.0),
        ("full", "nf4", math.inf, 0.1),
        ("full", "gptq4", math.nan, 0.2),
    ]
    names = ["adapter", "precision", "ratio", "reversion_nll_forget"]
    found = pd.DataFrame(cells, columns=names).assign(corpus="news", objective="npo_gdr", seed=0)
    return found.reindex(columns=list(SCORED_TABLE))


def write_log(unlearned: Path, model: str, steps: Iterable[int], status: str = "ok") -> None:
    """Forget NLL a tenth of the update, retain loss a hundredth of it."""
    folder = unlearned / model
    folder.mkdir(parents=True)
    lines = [{"step": s, "nll_forget": s / 10, "loss_retain": s / 100} for s in steps]
    (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "manifest.json").write_text(json.dumps({"status": status}))


def write_experiment(folder: Path) -> None:
    """Its tables, measurements, logs and choice."""
    for size, adapter in enumerate((*NEEDED, "lora_scaled0.5", "full_matched"), start=1):
        for precision, error in ERRORS.items():
            size_and_error = {"norm_w": 100.0, "norm_d": size, "rounding_error": error}
            row = {**MATRIX, **size_and_error, "cosine_adaptive": 0.25}
            rows = matrices(row, {**STILL, "layer": 1, "rounding_error": error})
            more = pd.DataFrame([(0.2, 0.25, 400, 0)], columns=BINS.columns)
            bins = pd.concat([BINS[:3], more, BINS[3:]])
            diverged = adapter == "lora" and precision != "bf16"
            cell = f"news/npo_gdr/{adapter}/seed0/{precision}"
            tables = (rows[:0], bins[:0]) if diverged else (rows, bins)
            write_cell(folder / "survival", cell, *tables)
        write_manifest((folder / "survival" / cell).parent, step="survival", settings={}, inputs={})
    written(folder, experiment(), measured=True)
    unlearned = folder / "records/unlearned"
    write_log(unlearned, RUNS[0], range(10, 41, 10))
    write_log(unlearned, RUNS[1], [10, 20])
    write_log(unlearned, RUNS[2], [10], "diverged")
    write(folder / f"selection/{SWEPT}.json", selection())
    write_scored(folder / "tables/scored.csv", forecasts())


# --- What the figures show of it -------------------------------------------------------------

VARIANTS = ("FT (fp32 masters)", "FT (bf16 weights)", "LoRA")
COUNTED = "n = 32 items, 1 seed"
KNOWN = (*VARIANTS, COUNTED, "target (not unlearned)", "retrain (never knew)")
LOST = ("off the scale", "a run diverged")
NOT_FORGOTTEN = "undefined: not forgotten"
MATCHED = "FT at LoRA's norm"
RUN = ("NEWS · NPO+GDR · seed 0", "RTN3 g64")
SAID = {
    "survival_of_forgetting": (*KNOWN, *LOST, "\ntarget\n", "\nretrain\n", "RTN3\ng64"),
    "reversion": (*VARIANTS, *LOST, NOT_FORGOTTEN, "survived", "back at\ntarget", "NF4\n9\xa0%"),
    "pareto": (*KNOWN, "to RTN3 g64", "to NF4", "↖ better", "KnowMem, ROUGE-L  (← better)"),
    "slope": (*KNOWN, *LOST, "PrivLeak → 0\n%"),
    "controls": (COUNTED, MATCHED, *LOST, "× 0.5", "zero-bin\nmoves\nkept"),
    "update_survival": (*RUN, plot_update_survival.UNCHANGED_NAME, "overall 0.25", "diverged"),
    "update_over_step": (*RUN, "(fp32 masters): 25.0 % with d = 0", "LoRA: diverged", "|d| / step"),
    "loss_curves": (*VARIANTS, "a run diverged", "updates (logarithmic)", "NEWS · NPO+GDR"),
    "forecast": (
        *VARIANTS[:2],
        "3 cells, and 1 without",
        "> 100",
        "plain rounding",
        "bitsandbytes",
    ),
    "candidates": ("chosen", "NEWS 30 on forget and 29 on retain", "LoRA: r2 after 10 epochs"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a made-up experiment with all that the figures read."""
    folder = tmp_path_factory.mktemp("run")
    write_experiment(folder)
    return folder


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(page, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def values(axes: Axes, colour: str) -> list[list[float]]:
    """The heights of the lines in a colour that stand for data."""
    lines = [line for line in axes.lines if line.get_color() == colour and len(line.get_xdata())]
    return [np.asarray(line.get_ydata(), float).tolist() for line in lines]


@pytest.mark.parametrize("figure", NAMES)
def test_a_figure_says_what_it_shows(figure: str, run: Path, drawn: list[Figure]) -> None:
    draw(figure, run, run)

    (legend,) = drawn[0].subfigs[0].legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == len(set(labels))
    said = "\n".join(text.get_text() for text in drawn[0].findobj(Text))
    assert not [words for words in SAID[figure] if words not in said]


def test_every_variant_is_a_line_over_the_precisions(run: Path, drawn: list[Figure]) -> None:
    draw("survival_of_forgetting", run, run)
    draw("reversion", run, run)

    for axes in drawn[0].axes:
        assert values(axes, LINES["full"].colour) == [[12.0, 12.5, 13.0]]
        assert values(axes, LINES["full_bf16"].colour) == [[15.0, 20.0, 85.0]]
        assert values(axes, REFERENCE_LINES["target"].colour) == [[90.0, 88.0, 86.0]]
        line, edge, cross = values(axes, LINES["lora"].colour)
        assert line[:2] == [14.0, 180.0] and math.isnan(line[2])  # twice target's 90, then a gap
        assert edge == [180.0] == [axes.get_ylim()[1]]
        assert len(cross) == 1 and axes.get_ylim()[0] < 0  # in a strip of its own
    for axes in drawn[1].axes:  # bf16 rounds nothing
        assert values(axes, LINES["full"].colour) == [[0.1, 0.2]]
        assert values(axes, LINES["full_bf16"].colour) == [[0.3, 1.5], [1.5]]


def test_arrows_lead_from_bf16_to_few_bits(run: Path, drawn: list[Figure]) -> None:
    draw("pareto", run, run)

    for axes in drawn[0].axes:
        ends = [text.xy for text in axes.texts if getattr(text, "arrow_patch", None)]
        assert ends == [(12.5, 12.5), (13, 13), (20, 20), (85, 85), (500, 500)]
        assert values(axes, LINES["full"].colour) == [[12.0]]
        assert values(axes, REFERENCE_LINES["retrain"].colour) == [[10.0, 11.0, 12.0]]


def test_a_forecast_stands_at_its_ratio_or_on_the_edge(run: Path, drawn: list[Figure]) -> None:
    draw("forecast", run, run)

    (axes,) = drawn[0].axes
    assert values(axes, LINES["full_bf16"].colour) == [[-0.5], [0.9]]  # cut, and as it is
    places = [line.get_xdata() for line in axes.lines if line.get_color() == LINES["full"].colour]
    (infinite,) = (place[0] for place in places if len(place))
    assert 2 < infinite < axes.get_xlim()[1]


def test_controls_stand_at_their_mean_size(run: Path, tmp_path: Path, drawn: list[Figure]) -> None:
    cells = {"lora/seed0": 5.0, "lora/seed1": 9.0, "full_matched/seed0": 5.0}
    scores = {}
    for cell, size in cells.items():
        scores |= score(f"npo_gdr/{cell}/rtn4", REVERSIONS[0], 0.5)
        row = {**MATRIX, "norm_w": 100.0, "norm_d": size}
        write_cell(tmp_path / "survival", f"news/npo_gdr/{cell}/rtn4", matrices(row))
    written(tmp_path, scores, measured=True)
    plot_controls.plot(tmp_path, tmp_path)
    draw("controls", run, run)

    lines = [line for line in drawn[0].axes[0].lines if line.get_label() in ("LoRA", MATCHED)]
    assert [line.get_xdata()[0] for line in lines] == pytest.approx([0.07, 0.05])
    rounded, kept = drawn[1].axes[-1].lines[-2:]  # off the scale, and diverged
    assert (rounded.get_xdata()[0], kept.get_xdata()[0]) == (0, 1)


def test_a_run_is_a_line_that_ends_in_its_marker_or_a_cross(run: Path, drawn: list[Figure]) -> None:
    draw("loss_curves", run, run)

    forget, retain = drawn[0].axes
    assert values(forget, LINES["full"].colour) == [[1, 2, 3, 4]]
    assert values(retain, LINES["full_bf16"].colour) == [[0.1, 0.2]]
    assert values(forget, LINES["lora"].colour) == [[1.0], [1.0]]


BROKEN = [
    ("pareto", "a", "--names: pareto takes none"),
    ("candidates", "", "--names: candidates takes some"),
    ("pareto", "", "no unlearned model to draw"),
    ("reversion", "", "no unlearned model to draw"),
    ("update_over_step", f"{RUNS[0]}/rtn4", r"rtn4_histogram\.csv: no such"),
    ("loss_curves", "news/target", "--names: none to draw; give"),
    ("loss_curves", RUNS[0], r"train_log\.jsonl: no such file"),
]


@pytest.mark.parametrize(("figure", "names", "message"), BROKEN)
def test_missing_is_named(figure: str, names: str, message: str, tmp_path: Path) -> None:
    written(tmp_path, score("target/bf16", "verbmem", 90.0))
    with pytest.raises(InputError, match=message):
        draw(figure, tmp_path, tmp_path, names)
