"""Measurements of made-up updates, small enough to reckon with by hand."""

from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.survival import table
from qunlearn.survival.table import ARRIVED, MATRICES

MATRIX: dict[str, Any] = {"layer": 0, "module": "q_proj", "n": 100, "norm_w": 10.0, "norm_d": 1.0}
MATRIX |= {"relative_d": 0.1, "moved": 1.0, "rounding_error": 0.2}
MATRIX |= dict.fromkeys(("flips_predicted", "flips_fixed", "flips_adaptive"), 0.1)
MATRIX |= {"cosine_fixed": 0.5, "cosine_adaptive": 0.5, "zero_bin": 0.3, "zero_bin_moved": 0.3}
MATRIX |= dict.fromkeys(("error_fixed", "error_adaptive"), 1.7320508)
MATRIX |= dict.fromkeys(("projection_fixed", "projection_adaptive"), 1.0)
STILL = {**MATRIX, "norm_d": 0.0, "relative_d": 0.0, "moved": 0.0}
STILL |= dict.fromkeys([*ARRIVED, "zero_bin_moved"], float("nan"))
BINS = pd.DataFrame(
    [
        (0.0, 0.0, 600, 0),
        (0.01, 0.0125893, 199, 40),
        (0.1, 0.125893, 200, 50),
        (1.0, 1.25893, 1000, 1000),
        (1.25893, 1.58489, 1, 1),
    ],
    columns=list(table.BINS),
)


def matrices(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(MATRICES))


def write_cell(
    survival: Path, cell: str, rows: pd.DataFrame | None = None, bins: pd.DataFrame = BINS
) -> None:
    """Write both files of `cell`, e.g. `news/npo_gdr/lora/seed0/nf4`."""
    write(survival / f"{cell}.csv", matrices(MATRIX) if rows is None else rows)
    write(survival / f"{cell}_histogram.csv", bins)


def write(path: Path, found: pd.DataFrame) -> None:
    table.write(path, found.columns, found.itertuples(index=False))
