"""Asymmetric round-to-nearest with an integer zero point, the grid of AWQ and of asymmetric GPTQ.

A group's 2^bits points run from its smallest to its largest weight, 0 always among them: they are
`step * (code - zero)` with codes in `0 .. 2^bits - 1` and an integer `zero`. So weights near 0 are
still rounded to 0, unlike on grids with a float minimum (GGUF's K-quants). Ties round to even.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.quantize.method import Method, Precision

if TYPE_CHECKING:
    from torch import Tensor

    from qunlearn.quantize.grids import Grid


class AsymmetricRounding(Method):
    """Asymmetric rounding; a folder holds the points themselves, in float32."""

    name = "rtna"
    form = "rtn<bits>a[<group>]"
    pattern = r"rtn(?P<bits>[2-8])a(?P<group>[1-9]\d*)?"
    scheme = "round to nearest, asymmetric; one scale and one integer zero point {span}"
    evaluated = "in float32"

    def label(self, precision: Precision) -> str:
        """`RTN4 asym g128`."""
        return f"RTN{precision.bits} asym" + (f" g{precision.group}" if precision.group else "")

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """Step and zero point of each row or group."""
        import torch

        from qunlearn.quantize.grids import UniformGrid

        groups = weight.float().reshape(len(weight), -1, precision.group or weight.shape[1])
        low = groups.amin(dim=-1).clamp(max=0)
        range_ = groups.amax(dim=-1).clamp(min=0) - low
        largest = 2**precision.bits - 1
        step = torch.where(range_ > 0, range_ / largest, 1.0)
        zero = (-low / step).round()[..., None]
        return UniformGrid(step, -zero, largest - zero)


METHODS = (AsymmetricRounding(),)
