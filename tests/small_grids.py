"""A weight matrix on the grid of a precision."""

from torch import Tensor

from qunlearn.quantize.grids import Grid
from qunlearn.quantize.method import Precision, method_of


def grid_of(name: str, weight: Tensor) -> Grid:
    return method_of(name).grid(weight, Precision.parse(name))


def rounded_to(name: str, weight: Tensor) -> Tensor:
    """The points that the weights are rounded to."""
    grid = grid_of(name, weight)
    return grid.values(grid.codes(weight))
