"""Plain symmetric round-to-nearest (RTN): the quantizer whose grid is the easiest to reason about.

One step serves a whole row (an output channel), or `group` neighbouring weights of it.

* Mid-tread, the ordinary grid: `step * code` with codes in `-(2^(bits-1) - 1) .. 2^(bits-1) - 1`.
  The code `-2^(bits-1)` is never used and zero is always a point of the grid. Ties round to even.
* Mid-rise, a control: `step * (code + 1/2)` with all 2^bits codes. Zero is no point of this grid
  but the border between two, so that no weight is rounded to zero. Ties round up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.quantize.method import Method, Precision, Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from qunlearn.quantize.grids import Grid


class RoundToNearest(Method):
    """Symmetric rounding; a folder holds the points themselves, in float32."""

    name = "rtn"
    form = "rtn<bits>[g<group>][m]"
    pattern = r"rtn(?P<bits>[2-8])(?:g(?P<group>[1-9]\d*))?(?P<midrise>m)?"
    scheme = "round to nearest, symmetric; one scale {span}"
    evaluated = "in float32"
    recipe = Recipe(
        warnings=("Keep the float32 weights: a cast to 16 bits moves them off their grid.",)
    )

    def label(self, precision: Precision) -> str:
        """`RTN3 g64 mid-rise`."""
        return super().label(precision).replace("M", " mid-rise")

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """One step a row or group: the outermost point is the largest weight.

        Where all weights are zero the step is 1, or, since a mid-rise grid has no zero, the
        smallest normal number.
        """
        import torch

        from qunlearn.quantize.grids import UniformGrid

        midrise, highest = precision.midrise, 2 ** (precision.bits - 1) - 1
        groups = weight.float().reshape(len(weight), -1, precision.group or weight.shape[1])
        step = groups.abs().amax(dim=-1) / (highest + (0.5 if midrise else 0.0))
        step = torch.where(step > 0, step, torch.finfo(step.dtype).tiny if midrise else 1.0)
        return UniformGrid(step, -highest - midrise, highest, midrise=midrise)


METHODS = (RoundToNearest(),)
