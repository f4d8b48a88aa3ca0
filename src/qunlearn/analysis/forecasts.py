"""What the weights foretell of each cell, from the survival measurements alone.

Nothing here knows how models are evaluated, so that a change of that makes no new forecast.
"""

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path
from typing import get_args

import pandas as pd

from qunlearn.analysis.frame import FORECAST_TABLE
from qunlearn.experiment.names import BEFORE, UNDEFINED, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.unlearning import Adapter
from qunlearn.survival.forecast import ratio, verdict
from qunlearn.survival.table import overall, read_survival


def forecast(results: Path, cells: Sequence[str]) -> pd.DataFrame:
    """A row of FORECAST_TABLE for each cell of an unlearned model on a grid, in order.

    `ratio` is moved / zero_bin over all quantized matrices, infinite where the grid rounds none to
    zero and NaN where nothing moved; `projection` is the share of the update that arrives. A
    diverged model has no row.

    Args:
        results: the experiment's folder, of which `survival` and `records` are read.
        cells: `<corpus>/<model id>/<precision>` each; controls and references are left out.

    Raises:
        InputError: a measurement or a manifest is missing or broken.
    """
    own = [cell for cell in map(Cell.parse, cells) if cell.adapter in get_args(Adapter)]
    found = []
    for cell in own:
        if cell.precision == BEFORE:
            continue
        place = Path(cell.corpus, cell.model)
        rows = read_survival(results / "survival" / place / f"{cell.precision}.csv")
        if rows.empty:
            continue
        made = read_json(results / "records/unlearned" / place / MANIFEST)
        whole = overall(rows)
        shares = float(whole["moved"]), float(whole["zero_bin"])
        arrives = float(whole["projection_adaptive"])
        numbers = made["settings"]["lr"], *shares, ratio(*shares), arrives
        found.append([*astuple(cell), *numbers, verdict(*shares, arrives)])
    return pd.DataFrame(found, columns=list(FORECAST_TABLE))


def write_forecast(path: Path, found: pd.DataFrame) -> None:
    """Write `forecast.csv`."""
    write_table(path, FORECAST_TABLE, found)


def write_table(path: Path, columns: Sequence[str], found: pd.DataFrame) -> None:
    """Write `columns` of `found`, with `undefined` for NaN."""
    plain = found[list(columns)].astype(object)
    rows = plain.where(plain.notna(), UNDEFINED).itertuples(index=False, name=None)
    write_rows(path, columns, rows)
