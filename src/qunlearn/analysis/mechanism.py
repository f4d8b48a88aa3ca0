"""Two tables that explain the reversions: what came back, and what each grid left of the update.

`reversion`: a row for each forget metric and variant, a column for each precision.
`mechanism`: a row for each variant and precision: how the update lies on the grid, how much of it
arrives, and how much of the forgetting is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS
from qunlearn.analysis.frame import MECHANISM_KEY, MECHANISM_NUMBERS, MECHANISM_TABLE
from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.experiment.names import REFERENCES, UNDEFINED, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.run.files import write_text
from qunlearn.survival.table import overall, read_survival

SHOWN = {
    "relative_norm": "‖d‖/‖W‖",
    "moved": "moved",
    "rounding_error": "grid error",
    "zero_bin": "in zero bin: all",
    "zero_bin_moved": "in zero bin: moved",
    "flips_predicted": "codes flip: predicted",
    "flips_adaptive": "codes flip: measured",
    "cosine_adaptive": "cosine",
    "projection_adaptive": "projection",
}
"""The columns of the Markdown table; the CSV file has all of MECHANISM_NUMBERS."""


def arrivals(scores: Sequence[Score], survival: Path) -> pd.DataFrame:
    """What was measured of every unlearned model and precision of `scores`, in their order.

    Models of which weights were spared have no grid of their own, diverged ones no update.

    Returns:
        A row a cell: its corpus, objective, adapter, seed and precision, then MECHANISM_NUMBERS of
        all matrices as one vector; NaN where undefined. `zero_bin` is the share of weights that the
        target's grid rounds to 0, `zero_bin_moved` the same among the weights that moved.

    Raises:
        InputError: a file is missing or does not parse.
    """
    found = []
    for cell in distinct(score.cell for score in scores):
        if cell.objective in REFERENCES or cell.adapter.startswith(SPARE):
            continue
        if rows := read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv"):
            whole = overall(rows)
            found.append(asdict(cell) | {"relative_norm": whole["relative_d"], **whole})
    table = pd.DataFrame(found, columns=[*MECHANISM_KEY, *MECHANISM_NUMBERS])
    return table.astype(dict.fromkeys(MECHANISM_NUMBERS, float))


def write_mechanism(
    scores: Sequence[Score], found: Mapping[Key, Summary], measured: pd.DataFrame, folder: Path
) -> None:
    """Write mechanism.csv, mechanism.md and reversion.md into `folder`."""
    lost = {score.cell: score for score in scores if score.metric == "reversion_nll_forget"}
    rows = []
    for corpus, objective, adapter, seed, precision, *numbers in measured.itertuples(index=False):
        back = lost[Cell(corpus, objective, adapter, seed, precision)]
        shown = (UNDEFINED if np.isnan(number) else number for number in numbers)
        reversion = back.absent or back.value, back.ci_low, back.ci_high, back.n
        rows.append([corpus, objective, adapter, seed, precision, *shown, *reversion])
    write_rows(folder / "mechanism.csv", MECHANISM_TABLE, rows)
    write_text(folder / "mechanism.md", mechanism_markdown(measured, found))
    write_text(folder / "reversion.md", reversion_markdown(found))


def mechanism_markdown(measured: pd.DataFrame, found: Mapping[Key, Summary]) -> str:
    """The mechanism table, averaged over seeds."""
    header = ["Corpus", "Method", "Variant", "Precision", *SHOWN.values(), "reversion (NLL)"]
    cells = measured.groupby(["corpus", "objective", "adapter", "precision"], sort=False)
    lines = []
    for (corpus, objective, adapter, precision), *numbers in cells[list(SHOWN)].mean().itertuples():
        key = Key(corpus, objective, adapter, precision, "reversion_nll_forget")
        shown = (UNDEFINED if np.isnan(number) else f"{number:z.3f}" for number in numbers)
        back = _reversion(found.get(key))
        lines.append([*_names(key), precision_name(key.precision), *shown, back])
    return _markdown(header, lines)


def reversion_markdown(
    found: Mapping[Key, Summary], metrics: Sequence[str] = tuple(FORGET_METRICS)
) -> str:
    """The reversion table: means over seeds, with their 95 % intervals."""
    keys = [key for key in found if key.objective not in REFERENCES]
    precisions = distinct(key.precision for key in keys)
    header = ["Corpus", "Metric", "Method", "Variant", *map(precision_name, precisions)]
    lines = []
    for metric in metrics:
        for key in distinct(
            key._replace(precision="", metric=f"reversion_{metric}") for key in keys
        ):
            corpus, *names = _names(key)
            shares = (found.get(key._replace(precision=name)) for name in precisions)
            lines.append([corpus, METRICS[metric], *names, *map(_reversion, shares)])
    return _markdown(header, lines)


def _names(key: Key) -> list[str]:
    return [corpus_name(key.corpus), method_name(key.objective), adapter_name(key.adapter)]


def _reversion(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    if summary.value is None:
        return summary.absent
    shown = f"{summary.value:z.2f} [{summary.low:z.2f}, {summary.high:z.2f}]"
    if summary.counted == summary.seeds:
        return shown
    return f"{shown} ({summary.counted}/{summary.seeds} seeds)"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    marks = ["---"] * 4 + ["--:"] * (len(header) - 4)
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, marks, *lines))
