"""A weight matrix before and after its update, rounded to the fixed and to the adaptive grid."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from qunlearn.quantize.grids import Grid, packed_grid
from qunlearn.quantize.method import Precision, method_of
from qunlearn.quantize.packed import PackedMatrix


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
    """Plain rounding to the precision's grid. Row ranges hold whole `rows_together`."""
    grid_of = method_of(precision).grid

    def rounded(rows: slice, weight: Tensor, unlearned: Tensor) -> RoundedBlock:
        grid = grid_of(weight, precision)
        before = Rounded.nearest(grid, weight)
        after = Rounded.nearest(grid, unlearned)
        own = Rounded.nearest(grid_of(unlearned, precision), unlearned)
        return RoundedBlock(grid, (before, after), (before, own))

    return rounded


def packed_rounding(target: Path, model: Path, name: str, precision: Precision) -> Rounding:
    """What a method ships whose codes depend on more than the matrix, from its two folders.

    `adaptive` is what they hold, compensation of errors included. `fixed` is plain nearest
    rounding of W and of W + d onto the scales in the target's, without any compensation.

    Raises:
        InputError: a folder is missing, holds no such layer, or another precision.
    """
    method = method_of(precision)
    before, after = (method.read_packed(folder, name, precision) for folder in (target, model))

    def rounded(rows: slice, weight: Tensor, unlearned: Tensor) -> RoundedBlock:
        grid = packed_grid(before.scales[rows], precision.bits)
        fixed = Rounded.nearest(grid, weight), Rounded.nearest(grid, unlearned)
        return RoundedBlock(grid, fixed, (_stored(before, rows), _stored(after, rows)))

    return rounded


def _stored(matrix: PackedMatrix, rows: slice) -> Rounded:
    block = PackedMatrix(matrix.codes[rows], matrix.scales[rows], matrix.group)
    return Rounded(block.codes, block.dense())
