"""A made-up experiment with all that the figures read, and the figures drawn from it."""

import json
import runpy
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import tyro
from conftest import ROOT
from small_manifests import sign_measurements
from small_summaries import over_seeds, single
from small_survival import BINS, MATRIX, STILL, matrices, write_cell
from test_selection import selection

from qunlearn.analysis.selection.choice import write
from qunlearn.analysis.summary import Scores, write_summaries
from qunlearn.experiment.labels import LINES
from qunlearn.experiment.names import DIVERGED, METRICS, UNDEFINED, Cell
from qunlearn.report.mechanism_tables import arrivals, write_mechanism

REVERSIONS = ("reversion_nll_forget", "reversion_verbmem", "reversion_knowmem")
ERRORS = {"bf16": 0.0, "nf4": 0.09, "rtn3g64": 0.25}
RUNS = [f"news/npo_gdr/{adapter}/seed0" for adapter in LINES]
CELLS = " ".join(f"{run}/{precision}" for precision in ("nf4", "rtn3g64") for run in RUNS)
SUMMARY, MECHANISM = "--summary {run}/summary.csv", "--mechanism {run}/mechanism.csv"
MEASURED = "--survival {run}/survival"
FLAGS = {
    "survival_of_forgetting": SUMMARY,
    "reversion": f"{SUMMARY} {MECHANISM}",
    "pareto": SUMMARY,
    "slope": SUMMARY,
    "controls": f"{SUMMARY} {MECHANISM} --precisions nf4 rtn3g64",
    "update_survival": f"{MEASURED} --cells {CELLS}",
    "update_over_step": f"{MEASURED} --cells {CELLS}",
    "loss_curves": f"--unlearned {{run}}/trained --models {' '.join(RUNS)}",
    "candidates": "--selections {run}/choice.json",
}


def draw(figure: str, run: Path, output: Path, flags: str = "") -> None:
    """As the workflow does, in this process."""
    main = runpy.run_path(str(ROOT / "workflow/scripts/plot.py"))["main"]
    words = (flags or FLAGS[figure]).format(run=run, none=output).split()
    tyro.cli(main, args=["--figure", figure, "--output", str(output), *words])


ODD = ("update_survival", "candidates", "loss_curves")
"""Figures that share least with each other; the determinism of all is a slow test's."""


def draw_all(run: Path, output: Path, figures: Iterable[str] = FLAGS) -> None:
    for figure in figures:
        draw(figure, run, output)


def written(folder: Path, scores: Scores, measured: bool = False) -> None:
    """`summary.csv` of some scores, and `mechanism.csv` of what was measured of them."""
    write_summaries(folder / "summary.csv", "mini", over_seeds(scores))
    if measured:
        write_mechanism(folder / "mechanism.csv", scores, arrivals(scores, folder / "survival"))


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


def write_log(unlearned: Path, model: str, steps: Iterable[int], status: str = "ok") -> None:
    """Forget NLL a tenth of the update, retain loss a hundredth of it."""
    folder = unlearned / model
    folder.mkdir(parents=True)
    lines = [{"step": s, "nll_forget": s / 10, "loss_retain": s / 100} for s in steps]
    (folder / "train_log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "manifest.json").write_text(json.dumps({"status": status}))


def write_experiment(folder: Path) -> None:
    """Its tables, measurements, logs and choice."""
    for size, adapter in enumerate((*LINES, "lora_scaled0.5", "full_matched"), start=1):
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
    sign_measurements(folder / "survival")
    written(folder, experiment(), measured=True)
    write_log(folder / "trained", RUNS[0], range(10, 41, 10))
    write_log(folder / "trained", RUNS[1], [10, 20])
    write_log(folder / "trained", RUNS[2], [10], "diverged")
    write(folder / "choice.json", selection())
