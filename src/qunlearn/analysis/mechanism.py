"""`mechanism.csv`: how each update lies on each grid, how much arrives, and what was lost of it."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from qunlearn.analysis.frame import MECHANISM_KEY, MECHANISM_NUMBERS, MECHANISM_TABLE
from qunlearn.analysis.metrics import Score
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.names import REFERENCES, UNDEFINED, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.survival.table import overall, read_survival


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


def write_mechanism(path: Path, scores: Sequence[Score], measured: pd.DataFrame) -> None:
    """Write `measured`, as of `arrivals`, with the reversion of the NLL beside it."""
    lost = {score.cell: score for score in scores if score.metric == "reversion_nll_forget"}
    rows = []
    for corpus, objective, adapter, seed, precision, *numbers in measured.itertuples(index=False):
        back = lost[Cell(corpus, objective, adapter, seed, precision)]
        shown = (UNDEFINED if np.isnan(number) else number for number in numbers)
        reversion = back.absent or back.value, back.ci_low, back.ci_high, back.n
        rows.append([corpus, objective, adapter, seed, precision, *shown, *reversion])
    write_rows(path, MECHANISM_TABLE, rows)
