"""Two tables that explain the reversions: what came back, and what each grid left of the update.

`reversion`: a row for each forget metric and variant, a column for each precision.
`mechanism`: a row for each variant and precision: how the update lies on the grid, how much of it
arrives, and how much of the forgetting is lost; the CSV file has a row for each seed, too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS
from qunlearn.analysis.frame import MECHANISM_KEY, MECHANISM_NUMBERS, MECHANISM_TABLE
from qunlearn.analysis.summary import Key, Scores, Summary, distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.experiment.names import REFERENCES, UNDEFINED, Cell
from qunlearn.report.templates import interval, table
from qunlearn.run.csvfile import write_rows
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


def arrivals(scores: Scores, survival: Path) -> pd.DataFrame:
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
    for cell in distinct(cell for cell, _ in scores):
        if cell.objective in REFERENCES or cell.adapter.startswith(SPARE):
            continue
        rows = read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv")
        if len(rows):
            whole = overall(rows).rename({"relative_d": "relative_norm"})
            found.append([*astuple(cell), *whole[list(MECHANISM_NUMBERS)]])
    return pd.DataFrame(found, columns=[*MECHANISM_KEY, *MECHANISM_NUMBERS])


def write_mechanism(path: Path, scores: Scores, measured: pd.DataFrame) -> None:
    """Write `measured`, as of `arrivals`, with the reversion of the NLL beside it."""
    key = len(MECHANISM_KEY)
    rows = [
        (*row, *scores[Cell(*row[:key]), "reversion_nll_forget"].printed)
        for row in measured.astype(object).fillna(UNDEFINED).itertuples(index=False, name=None)
    ]
    write_rows(path, MECHANISM_TABLE, rows)


def mechanism_markdown(measured: pd.DataFrame, found: Mapping[Key, Summary]) -> str:
    """The mechanism table, averaged over seeds."""
    header = ["Corpus", "Method", "Variant", "Precision", *SHOWN.values(), "reversion (NLL)"]
    cells = measured.groupby(["corpus", "objective", "adapter", "precision"], sort=False)
    lines = []
    for (corpus, objective, adapter, precision), *numbers in cells[list(SHOWN)].mean().itertuples():
        key = Key(corpus, objective, adapter, precision, "reversion_nll_forget")
        shown = (UNDEFINED if np.isnan(number) else f"{number:z.3f}" for number in numbers)
        back = _share(found.get(key))
        lines.append([*_names(key), precision_name(key.precision), *shown, back])
    return table(header, lines, right=header[4:]) + "\n"


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
            lines.append([corpus, METRICS[metric], *names, *map(_share, shares)])
    return table(header, lines, right=header[4:]) + "\n"


def _names(key: Key) -> list[str]:
    return [corpus_name(key.corpus), method_name(key.objective), adapter_name(key.adapter)]


def _share(reversion: Summary | None) -> str:
    return interval(reversion) if reversion else "–"
