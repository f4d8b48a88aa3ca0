"""Measurements of made-up updates, small enough to reckon with by hand."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from qunlearn.survival.table import Bin, MatrixRow, write_histogram, write_survival

MATRIX = MatrixRow(
    layer=0,
    module="q_proj",
    n=100,
    norm_w=10.0,
    norm_d=1.0,
    relative_d=0.1,
    moved=1.0,
    **dict.fromkeys(("flips_predicted", "flips_fixed", "flips_adaptive"), 0.1),
    **dict.fromkeys(("cosine_fixed", "cosine_adaptive"), 0.5),
    **dict.fromkeys(("error_fixed", "error_adaptive"), 1.7320508),
    **dict.fromkeys(("projection_fixed", "projection_adaptive"), 1.0),
    rounding_error=0.2,
    zero_bin=0.3,
    zero_bin_moved=0.3,
)
PREFIXES = ("cosine_", "error_", "projection_", "zero_bin_")
UNDEFINED = [field.name for field in fields(MATRIX) if field.name.startswith(PREFIXES)]
STILL = replace(MATRIX, norm_d=0.0, relative_d=0.0, moved=0.0, **dict.fromkeys(UNDEFINED))
BINS = (
    Bin(0.0, 0.0, 600, 0),
    Bin(0.01, 0.0125893, 199, 40),
    Bin(0.1, 0.125893, 200, 50),
    Bin(1.0, 1.25893, 1000, 1000),
    Bin(1.25893, 1.58489, 1, 1),
)


def write_cell(
    survival: Path,
    cell: str,
    rows: Sequence[MatrixRow] = (MATRIX,),
    bins: Sequence[Bin] = BINS,
) -> None:
    """Write both files of `cell`, e.g. `news/npo_gdr/lora/seed0/nf4`."""
    write_survival(survival / f"{cell}.csv", rows)
    write_histogram(survival / f"{cell}_histogram.csv", bins)
