"""A weight matrix before and after its update, rounded to the fixed and to the adaptive grid."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from qunlearn.errors import InputError
from qunlearn.precision import Precision
from qunlearn.quantize.packed import PackedMatrix, read_matrix, stored_bits
from qunlearn.survival.grids import Grid, grid_of, packed_grid


@dataclass(frozen=True, eq=False)
class Rounded:
    """Weights on a grid: their codes and the points that these stand for, both [rows, in]."""

    codes: Tensor
    values: Tensor

    @classmethod
    def nearest(cls, grid: Grid, weight: Tensor) -> "Rounded":
        """`weight` rounded to `grid`."""
        codes = grid.codes(weight)
        return cls(codes, grid.values(codes))


@dataclass(frozen=True, eq=False)
class RoundedBlock:
    """Some rows of W and of W + d, in this order, on each grid.

    Attributes:
        grid: the fixed one.
        fixed: both on the grid of W.
        adaptive: each as it would be shipped.
    """

    grid: Grid
    fixed: tuple[Rounded, Rounded]
    adaptive: tuple[Rounded, Rounded]


Rounding = Callable[[slice, Tensor, Tensor], RoundedBlock]
"""From a range of rows and these rows of W and of W + d to their rounding."""


def nearest_rounding(precision: Precision) -> Rounding:
    """Plain rounding, for every precision but GPTQ. Row ranges hold whole `rows_together`."""

    def rounded(rows: slice, weight: Tensor, unlearned: Tensor) -> RoundedBlock:
        grid = grid_of(weight, precision)
        before = Rounded.nearest(grid, weight)
        after = Rounded.nearest(grid, unlearned)
        own = Rounded.nearest(grid_of(unlearned, precision), unlearned)
        return RoundedBlock(grid, (before, after), (before, own))

    return rounded


def packed_rounding(target: Path, model: Path, name: str, precision: Precision) -> Rounding:
    """GPTQ, from the packed checkpoints of the target and of the unlearned model.

    `adaptive` is what they hold, compensation of errors included. `fixed` is plain nearest
    rounding of W and of W + d onto the scales in the target's, without any compensation.

    Raises:
        InputError: a folder is missing, holds no such layer, or another precision.
    """
    before, after = (_read(folder, name, precision) for folder in (target, model))

    def rounded(rows: slice, weight: Tensor, unlearned: Tensor) -> RoundedBlock:
        grid = packed_grid(before.scales[rows], precision.bits)
        fixed = Rounded.nearest(grid, weight), Rounded.nearest(grid, unlearned)
        return RoundedBlock(grid, fixed, (_stored(before, rows), _stored(after, rows)))

    return rounded


def _read(folder: Path, name: str, precision: Precision) -> PackedMatrix:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; quantize the model to {precision.name} first")
    matrix, bits = read_matrix(folder, name), stored_bits(folder)
    if (bits, matrix.group) != (precision.bits, precision.group):
        raise InputError(
            f"{folder}: {name} has {bits} bits in groups of {matrix.group}, which is not "
            f"{precision.name}; quantize the model to {precision.name}"
        )
    return matrix


def _stored(matrix: PackedMatrix, rows: slice) -> Rounded:
    block = PackedMatrix(matrix.codes[rows], matrix.scales[rows], matrix.group)
    return Rounded(block.codes, block.dense())
