"""Plain symmetric round-to-nearest (RTN): the quantizer whose grid is the easiest to reason about.

One step serves a whole row (an output channel), or `group` neighbouring weights of it.

* Mid-tread, the ordinary grid: `step * code` with codes in `-(2^(bits-1) - 1) .. 2^(bits-1) - 1`.
  The code `-2^(bits-1)` is never used and zero is always a point of the grid. Ties round to even.
* Mid-rise, a control: `step * (code + 1/2)` with all 2^bits codes. Zero is no point of this grid
  but the border between two, so that no weight is rounded to zero. Ties round up.
"""

import torch
from torch import Tensor


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
    outermost = largest_code(bits) + (0.5 if midrise else 0.0)
    step = _grouped(weight, group).abs().amax(dim=-1) / outermost
    return torch.where(step > 0, step, torch.finfo(step.dtype).tiny if midrise else 1.0)


def codes(weight: Tensor, bits: int, group: int | None = None, *, midrise: bool = False) -> Tensor:
    """The code of the nearest point of the grid for each weight, [out, in], int8."""
    limit = largest_code(bits)
    steps = _grouped(weight, group) / scales(weight, bits, group, midrise=midrise)[..., None]
    nearest = (
        steps.floor().clamp(-limit - 1, limit) if midrise else steps.round().clamp(-limit, limit)
    )
    return nearest.to(torch.int8).reshape(weight.shape)


def quantize_dequantize(
    weight: Tensor, bits: int, group: int | None = None, *, midrise: bool = False
) -> Tensor:
    """The nearest points of the grid, which an RTN model computes with, [out, in], float32."""
    step = scales(weight, bits, group, midrise=midrise)[..., None]
    code = _grouped(codes(weight, bits, group, midrise=midrise), group)
    return ((code + 0.5 if midrise else code) * step).reshape(weight.shape)


def _grouped(weight: Tensor, group: int | None) -> Tensor:
    """[out, in] -> [out, groups, group] in float32."""
    return weight.float().reshape(weight.shape[0], -1, group or weight.shape[1])
