"""`mechanism.csv`: how each update lies on each grid, how much arrives, and what was lost of it."""

from dataclasses import astuple
from pathlib import Path

import pandas as pd

from qunlearn.analysis.frame import MECHANISM_KEY, MECHANISM_NUMBERS, MECHANISM_TABLE
from qunlearn.analysis.summary import Scores, distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.names import REFERENCES, UNDEFINED, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.survival.table import overall, read_survival


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
