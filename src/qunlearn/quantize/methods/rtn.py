"""Plain symmetric round-to-nearest (RTN): the quantizer whose grid is the easiest to reason about.

One step serves a whole row (an output channel), or `group` neighbouring weights of it.

* Mid-tread, the ordinary grid: `step * code` with codes in `-(2^(bits-1) - 1) .. 2^(bits-1) - 1`.
  The code `-2^(bits-1)` is never used and zero is always a point of the grid. Ties round to even.
* Mid-rise, a control: `step * (code + 1/2)` with all 2^bits codes. Zero is no point of this grid
  but the border between two, so that no weight is rounded to zero. Ties round up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qunlearn.quantize.method import Method, Precision, Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from qunlearn.quantize.grids import Grid

_NAME = re.compile(r"rtn(?P<bits>[2-8])(?:g(?P<group>[1-9]\d*))?(?P<midrise>m)?")


class RoundToNearest(Method):
    """Symmetric rounding; a folder holds the points themselves, in float32."""

    name = "rtn"
    form = "rtn<bits>[g<group>][m]"
    about = (
        "plain symmetric rounding to 2-8 bits, a scale a row or a group; with `m` the grid is "
        "moved by half a step (a control)"
    )
    evaluated = "in float32"
    recipe = Recipe(
        warnings=("Keep the float32 weights: a cast to 16 bits moves them off their grid.",)
    )

    def parse(self, name: str) -> Precision | None:
        """`rtn4`, `rtn3g64`, `rtn3g64m`."""
        if not (match := _NAME.fullmatch(name)):
            return None
        group = int(match["group"]) if match["group"] else None
        return Precision(name, self.name, int(match["bits"]), group, match["midrise"] is not None)

    def describe(self, precision: Precision) -> str:
        """How the scales are shared."""
        group = precision.group
        span = f"for {group} neighbouring weights of a row" if group else "a row"
        return f"round to nearest, symmetric; one scale {span}"

    def label(self, precision: Precision) -> str:
        """`RTN3 g64 mid-rise`."""
        return super().label(precision) + (" mid-rise" if precision.midrise else "")

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """One step a row or group."""
        from qunlearn.quantize.grids import UniformGrid

        steps = scales(weight, precision.bits, precision.group, midrise=precision.midrise)
        highest = largest_code(precision.bits)
        lowest = -highest - 1 if precision.midrise else -highest
        return UniformGrid(steps, lowest, highest, midrise=precision.midrise)


METHODS = (RoundToNearest(),)


def largest_code(bits: int) -> int:
    """The largest code of either grid: 7 for 4 bits, 3 for 3 bits."""
    return int(2 ** (bits - 1)) - 1


def scales(weight: Tensor, bits: int, group: int | None = None, *, midrise: bool = False) -> Tensor:
    """The step of each grid, in float32: its outermost point is the largest weight.

    `max|w| / largest_code`, or `max|w| / (largest_code + 1/2)` for mid-rise. Where all weights
    are zero it is 1, or, since a mid-rise grid has no zero, the smallest normal number.

    Args:
        weight: [out, in].
        bits: bits a code, 2 to 8.
        group: neighbouring weights of a row that share a step, dividing `in`; None: the whole row.
        midrise: which of the two grids.

    Returns:
        [out, in / group], or [out, 1] without groups.
    """
    import torch

    outermost = largest_code(bits) + (0.5 if midrise else 0.0)
    grouped = weight.float().reshape(weight.shape[0], -1, group or weight.shape[1])
    step = grouped.abs().amax(dim=-1) / outermost
    return torch.where(step > 0, step, torch.finfo(step.dtype).tiny if midrise else 1.0)
