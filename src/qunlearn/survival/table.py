"""The CSV files of a survival measurement, and a whole model's figures from its matrices'.

`<precision>.csv` has a row for each quantized matrix. W is the target's, d the update, Q the
rounding. `fixed`: W and W + d are rounded to the grid of W. `adaptive`: each has its own, as in
deployment. The update that arrives is d_eff = Q(W + d) - Q(W).

* layer, module: e.g. 0 and `up_proj`; layer -1 where the path has no number;
* n: weights;
* norm_w, norm_d, relative_d: Frobenius norms, and norm_d / norm_w (undefined where W = 0);
* moved: share of weights with d != 0;
* flips_predicted: mean of min(|d| / step, 1) with the local step of the fixed grid: the rate if
  weights lay evenly in their bins;
* flips_fixed, flips_adaptive: share of weights whose code changes;
* cosine_fixed, cosine_adaptive: of d and d_eff; 0 where d_eff = 0; undefined where d = 0;
* error_fixed, error_adaptive: ||d_eff - d|| / ||d||; undefined where d = 0;
* projection_fixed, projection_adaptive: <d_eff, d> / ||d||^2; undefined where d = 0;
* rounding_error: ||Q(W) - W|| / ||W||; undefined where W = 0;
* zero_bin: share of weights that the fixed grid rounds to 0, or to what acts as 0 (FP4: +-1/192);
* zero_bin_moved: the same among moved weights; undefined where d = 0.

`<precision>_histogram.csv` has a row for each bin of |d| / step in the fixed grid, over all
matrices: [low, high), count of weights, and flips_fixed, how many of them change their code. The
first row (low = high = 0) has the weights with d = 0; the next holds what is smaller too, the last
what is larger. Of a diverged model both files have their header and no row. In memory NaN stands
for `undefined`.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from qunlearn.run.csvfile import Value, read_rows, write_rows
from qunlearn.run.manifest import verify

if TYPE_CHECKING:
    import pandas as pd  # late, for the environment that measures has none

UNDEFINED = "undefined"
GRIDS = ("fixed", "adaptive")
ARRIVED = [f"{name}_{grid}" for name in ("cosine", "error", "projection") for grid in GRIDS]
SHARES = ["moved", "flips_predicted", "flips_fixed", "flips_adaptive", "zero_bin"]
MATRICES = {"layer": int, "module": str, "n": int}
MATRICES |= dict.fromkeys(["norm_w", "norm_d", "relative_d", *SHARES[:-1], *ARRIVED], float)
MATRICES |= dict.fromkeys(["rounding_error", "zero_bin", "zero_bin_moved"], float)
BINS = {"low": float, "high": float, "count": int, "flips_fixed": int}
"""The columns of both files."""


def write(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Value]]) -> None:
    """Write one of the two tables: six significant digits."""
    lines = ([UNDEFINED if value != value else value for value in row] for row in rows)
    write_rows(path, list(columns), lines)


def read_survival(path: Path, columns: dict[str, type] = MATRICES) -> "pd.DataFrame":
    """A `<precision>.csv`; without a row where the training diverged.

    Raises:
        InputError: the file is missing, not as it was written, or has other columns.
    """
    import pandas as pd

    verify(path)
    rows = pd.DataFrame(read_rows(path, list(columns), "measure the survival"), columns=[*columns])
    return rows.replace(UNDEFINED, "nan").astype(columns)


def read_histogram(path: Path) -> "pd.DataFrame":
    """A `<precision>_histogram.csv`, as `read_survival`."""
    return read_survival(path, BINS)


def overall(rows: "pd.DataFrame") -> "pd.Series[float]":
    """The figures of a matrix, of all matrices of a model as one vector; NaN where undefined.

    Sums of squares and dot products follow from each matrix's columns: <d_eff, d> is
    projection * norm_d^2, and ||d_eff|| is projection / cosine * norm_d. Matrices with d = 0 add
    nothing to d_eff; that is exact but for GPTQ, whose codes depend on the other matrices too.

    Args:
        rows: at least one.
    """
    import pandas as pd

    n, norm_w, norm_d = rows["n"].sum(), math.hypot(*rows["norm_w"]), math.hypot(*rows["norm_d"])
    moved = math.fsum(rows["moved"] * rows["n"])
    zero_moved = math.fsum((rows["zero_bin_moved"] * rows["moved"] * rows["n"]).fillna(0))
    rounding = math.hypot(*(rows["rounding_error"] * rows["norm_w"]).fillna(0))
    found = {name: math.fsum(rows[name] * rows["n"]) / n for name in SHARES}
    found |= {"n": n, "norm_w": norm_w, "norm_d": norm_d}
    found["relative_d"] = norm_d / norm_w if norm_w else math.nan
    found["rounding_error"] = rounding / norm_w if norm_w else math.nan
    found["zero_bin_moved"] = zero_moved / moved if moved else math.nan
    for grid in GRIDS:
        names = [name for name in ARRIVED if name.endswith(grid)]
        found |= dict(zip(names, _arrived(rows, names), strict=True))
    return pd.Series(found)


def _arrived(rows: "pd.DataFrame", names: list[str]) -> tuple[float, float, float]:
    """Cosine, error and projection of the concatenated update."""
    rows = rows[rows[names[0]].notna()]
    if rows.empty:
        return math.nan, math.nan, math.nan
    cosine, error, projection, own = (rows[name].to_numpy() for name in (*names, "norm_d"))
    norm_d = math.hypot(*own)
    dot = math.fsum(projection * own**2)
    # Orthogonal to d (or 0) the ratio of norms is in the error alone: error^2 = 1 + ratio^2.
    orthogonal = np.sqrt(np.maximum(error**2 - 1, 0))
    ratio = np.divide(projection, cosine, out=orthogonal, where=cosine != 0)
    norm = math.hypot(*(ratio * own))
    return (
        dot / (norm * norm_d) if norm else 0.0,
        math.hypot(*(error * own)) / norm_d,
        dot / norm_d**2,
    )
