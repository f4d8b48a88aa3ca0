"""Plain rounding, weight by weight: bfloat16, and round-to-nearest (RTN) on uniform grids.

In RTN, a whole row (an output channel) shares one step, or each `group` of its weights does.

* Mid-tread, the ordinary grid: `step * code` with codes in `-(2^(bits-1) - 1) .. 2^(bits-1) - 1`.
  The code `-2^(bits-1)` is never used and zero is always a point of the grid. Ties round to even.
* Mid-rise, a control: `step * (code + 1/2)` with all 2^bits codes. Zero is not a point of this
  grid but the boundary between two, so no weight is rounded to zero. Ties round up.
* Asymmetric, the grid of AWQ and of asymmetric GPTQ: `step * (code - zero)` with codes in
  `0 .. 2^bits - 1` and an integer `zero`, from a group's smallest to its largest weight; 0 is
  always among the points. So weights near 0 are still rounded to 0, unlike on grids with a
  float minimum (GGUF's K-quants). Ties round to even.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from qunlearn.quantize.method import Method, Precision

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from qunlearn.quantize.grids import Grid


class Bfloat16(Method):
    """A cast of all parameters, embeddings and norms included, as models are usually shipped."""

    name = form = printed = "bf16"
    bits = 16
    speed = inf  # negligible beside reading and writing
    stored = 16.0
    scheme = "every weight rounded to bfloat16"
    storage = "bfloat16"
    evaluated = "as it is"

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> PreTrainedModel:
        """Cast the parameters, not the buffers, as `model.bfloat16()` would."""
        for weight in model.parameters():
            weight.data = weight.data.bfloat16()
        return model

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """All bfloat16 numbers."""
        from qunlearn.quantize.grids import Bfloat16Grid

        return Bfloat16Grid()


class RoundToNearest(Method):
    """Symmetric rounding; a folder holds the rounded weights themselves, in float32."""

    name = "rtn"
    form = "rtn<bits>[g<group>][m]"
    pattern = r"rtn(?P<bits>[2-8])(?:g(?P<group>[1-9]\d*))?(?P<midrise>m)?"
    scheme = "round to nearest, symmetric; one scale {span}"
    warnings = ("Keep the float32 weights: a cast to 16 bits moves them off their grid.",)

    def label(self, precision: Precision) -> str:
        """`RTN3 g64 mid-rise`."""
        return super().label(precision).replace("M", " mid-rise")

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """One step per row or group: the outermost point is the largest weight.

        Where all weights are zero the step is 1, or on a mid-rise grid, which has no zero, the
        smallest normal number.
        """
        import torch

        from qunlearn.quantize.grids import UniformGrid

        midrise, highest = precision.midrise, 2 ** (precision.bits - 1) - 1
        step = _groups(weight, precision).abs().amax(dim=-1) / (highest + (0.5 if midrise else 0.0))
        step = torch.where(step > 0, step, torch.finfo(step.dtype).tiny if midrise else 1.0)
        return UniformGrid(step, -highest - midrise, highest, midrise)


class AsymmetricRounding(RoundToNearest):
    """Rounding with an integer zero point."""

    name = "rtna"
    form = "rtn<bits>a[<group>]"
    pattern = r"rtn(?P<bits>[2-8])a(?P<group>[1-9]\d*)?"
    scheme = "round to nearest, asymmetric; one scale and one integer zero point {span}"

    def label(self, precision: Precision) -> str:
        """`RTN4 asym g128`."""
        return f"RTN{precision.bits} asym" + (f" g{precision.group}" if precision.group else "")

    def shipped_bits(self, precision: Precision) -> float:
        """A group has a zero point beside its scale."""
        zero = precision.bits / precision.group if precision.group else 0
        return super().shipped_bits(precision) + zero

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """Step and zero point of each row or group."""
        import torch

        from qunlearn.quantize.grids import UniformGrid

        groups = _groups(weight, precision)
        low = groups.amin(dim=-1).clamp(max=0)
        range_ = groups.amax(dim=-1).clamp(min=0) - low
        largest = 2**precision.bits - 1
        step = torch.where(range_ > 0, range_ / largest, 1.0)
        zero = (-low / step).round()[..., None]
        return UniformGrid(step, -zero, largest - zero)


METHODS = (Bfloat16(), RoundToNearest(), AsymmetricRounding())


def _groups(weight: Tensor, precision: Precision) -> Tensor:
    """[out, groups, weights that share a step], float32."""
    return weight.float().reshape(len(weight), -1, precision.group or weight.shape[1])
