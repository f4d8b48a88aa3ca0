"""Measurements of made-up updates, small enough to reckon with by hand."""

from collections.abc import Sequence
from dataclasses import replace
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
    step_median=0.1,
    step_p99=0.5,
    flips_predicted=0.1,
    flips_fixed=0.1,
    flips_adaptive=0.1,
    cosine_fixed=0.5,
    cosine_adaptive=0.5,
    error_fixed=1.7320508,
    error_adaptive=1.7320508,
    projection_fixed=1.0,
    projection_adaptive=1.0,
    rounding_error=0.2,
    w_q10=0.1,
    w_q50=0.2,
    w_q90=0.3,
    moved_w_q10=0.1,
    moved_w_q50=0.2,
    moved_w_q90=0.3,
    zero_bin=0.3,
    zero_bin_moved=0.3,
)
STILL = replace(
    MATRIX,
    norm_d=0.0,
    relative_d=0.0,
    moved=0.0,
    cosine_fixed=None,
    cosine_adaptive=None,
    error_fixed=None,
    error_adaptive=None,
    projection_fixed=None,
    projection_adaptive=None,
    moved_w_q10=None,
    moved_w_q50=None,
    moved_w_q90=None,
    zero_bin_moved=None,
)
BINS = (
    Bin(0.0, 0.0, 600, 0, 0),
    Bin(0.01, 0.0125893, 199, 40, 40),
    Bin(0.1, 0.125893, 200, 50, 50),
    Bin(1.0, 1.25893, 1000, 1000, 1000),
    Bin(1.25893, 1.58489, 1, 1, 1),
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
