"""The CSV files of a survival measurement, and a whole model's figures from its matrices'.

`<precision>.csv` has a row for each quantized matrix, `<precision>_histogram.csv` one for each
bin of |d| / step, over all matrices. Of a diverged model both have their header and no row.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import Field, astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from qunlearn.run.csvfile import read_rows, write_rows
from qunlearn.run.manifest import verify

UNDEFINED = "undefined"


@dataclass(frozen=True)
class MatrixRow:
    """One matrix at one precision: W the target's, d the update, Q the rounding.

    `fixed`: W and W + d are rounded to the grid of W. `adaptive`: each has its own, as in
    deployment. The update that arrives is d_eff = Q(W + d) - Q(W).

    Attributes:
        layer, module: e.g. 0 and `up_proj`; layer -1 where the path has no number.
        n: weights.
        norm_w, norm_d, relative_d: Frobenius norms, and norm_d / norm_w (None where W = 0).
        moved: share of weights with d != 0.
        flips_predicted: mean of min(|d| / step, 1) with the local step of the fixed grid: the rate
            if weights lay evenly in their bins.
        flips_fixed, flips_adaptive: share of weights whose code changes.
        cosine_fixed, cosine_adaptive: of d and d_eff; 0 where d_eff = 0; None where d = 0.
        error_fixed, error_adaptive: ||d_eff - d|| / ||d||; None where d = 0.
        projection_fixed, projection_adaptive: <d_eff, d> / ||d||^2; None where d = 0.
        rounding_error: ||Q(W) - W|| / ||W||; None where W = 0.
        zero_bin: share of weights that the fixed grid rounds to 0.
        zero_bin_moved: the same among moved weights; None where d = 0.
    """

    layer: int
    module: str
    n: int
    norm_w: float
    norm_d: float
    relative_d: float | None
    moved: float
    flips_predicted: float
    flips_fixed: float
    flips_adaptive: float
    cosine_fixed: float | None
    cosine_adaptive: float | None
    error_fixed: float | None
    error_adaptive: float | None
    projection_fixed: float | None
    projection_adaptive: float | None
    rounding_error: float | None
    zero_bin: float
    zero_bin_moved: float | None


@dataclass(frozen=True)
class Bin:
    """Weights whose |d| / step is in `[low, high)`; low = high = 0: those with d = 0.

    The first bin of d != 0 holds what is smaller too, the last what is larger.

    Attributes:
        low, high: of |d| / step, in the fixed grid.
        count: weights.
        flips_fixed: how many of them change their code.
    """

    low: float
    high: float
    count: int
    flips_fixed: int


@dataclass(frozen=True)
class Measurement:
    """One model at one precision: a row for each matrix, and the bins over all of them."""

    rows: list[MatrixRow]
    bins: list[Bin]


Row = TypeVar("Row", MatrixRow, Bin)


def write_survival(path: Path, rows: Iterable[MatrixRow]) -> None:
    """Write `rows` in their order: six significant digits, `undefined` for None."""
    _write(path, MatrixRow, rows)


def read_survival(path: Path) -> list[MatrixRow]:
    """The rows of a `<precision>.csv`; none where the training diverged.

    Raises:
        InputError: the file is missing, not as it was written, or has other columns.
    """
    return _read(path, MatrixRow)


def write_histogram(path: Path, bins: Iterable[Bin]) -> None:
    """Write `bins` in their order, as `write_survival`."""
    _write(path, Bin, bins)


def read_histogram(path: Path) -> list[Bin]:
    """The bins of a `<precision>_histogram.csv`, as `read_survival`."""
    return _read(path, Bin)


def overall(rows: Sequence[MatrixRow]) -> dict[str, float | None]:
    """`MatrixRow`'s figures, of all matrices of a model as one vector.

    Sums of squares and dot products follow from each matrix's columns: <d_eff, d> is
    projection * norm_d^2, and ||d_eff|| is projection / cosine * norm_d. Matrices with d = 0 add
    nothing to d_eff; that is exact but for GPTQ, whose codes depend on the other matrices too.

    Args:
        rows: at least one.
    """
    n = sum(row.n for row in rows)
    norm_w = math.hypot(*(row.norm_w for row in rows))
    norm_d = math.hypot(*(row.norm_d for row in rows))
    rounding = math.hypot(*((row.rounding_error or 0.0) * row.norm_w for row in rows))
    shares = ("moved", "flips_predicted", "flips_fixed", "flips_adaptive", "zero_bin")
    found: dict[str, float | None] = {
        name: math.fsum(getattr(row, name) * row.n for row in rows) / n for name in shares
    }
    moved = math.fsum(row.moved * row.n for row in rows)
    zero_moved = math.fsum((row.zero_bin_moved or 0.0) * row.moved * row.n for row in rows)
    return found | {
        "n": n,
        "norm_w": norm_w,
        "norm_d": norm_d,
        "relative_d": norm_d / norm_w if norm_w else None,
        **_arrived(rows, norm_d, "fixed"),
        **_arrived(rows, norm_d, "adaptive"),
        "rounding_error": rounding / norm_w if norm_w else None,
        "zero_bin_moved": zero_moved / moved if moved else None,
    }


def _arrived(rows: Sequence[MatrixRow], norm_d: float, grid: str) -> dict[str, float | None]:
    """Cosine, error and projection of the concatenated update."""
    names = [f"{figure}_{grid}" for figure in ("cosine", "error", "projection")]
    if not norm_d:
        return dict.fromkeys(names)
    dots, norms, errors = [], [], []
    for row in rows:
        cosine, error, projection = (getattr(row, name) for name in names)
        if cosine is None:
            continue
        dots.append(projection * row.norm_d**2)
        errors.append(error * row.norm_d)
        # Orthogonal to d (or 0) the ratio of norms is in the error alone: error^2 = 1 + ratio^2.
        ratio = projection / cosine if cosine else math.sqrt(max(error**2 - 1, 0.0))
        norms.append(ratio * row.norm_d)
    dot, norm = math.fsum(dots), math.hypot(*norms)
    figures = dot / (norm * norm_d) if norm else 0.0, math.hypot(*errors) / norm_d, dot / norm_d**2
    return dict(zip(names, figures, strict=True))


def _write(path: Path, kind: type[Row], rows: Iterable[Row]) -> None:
    filled = ([UNDEFINED if value is None else value for value in astuple(row)] for row in rows)
    write_rows(path, [field.name for field in fields(kind)], filled)


def _read(path: Path, kind: type[Row]) -> list[Row]:
    verify(path)
    columns = [field.name for field in fields(kind)]
    rows = read_rows(path, columns, "measure the survival")
    return [kind(*(_parse(field, row[field.name]) for field in fields(kind))) for row in rows]


def _parse(field: Field[Any], word: str) -> Any:
    kind: Any = field.type if field.type in (int, str) else float
    return None if word == UNDEFINED else kind(word)
