"""Plain symmetric round-to-nearest (RTN): the quantizer whose grid is the easiest to reason about.

A grid is `scale * code` with integer codes in `-(2^(bits-1) - 1) .. 2^(bits-1) - 1`: symmetric,
so the code `-2^(bits-1)` is never used and zero is always a point of the grid. One scale serves
a whole row (an output channel), or `group` neighbouring weights of it. Ties round to even.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qunlearn.errors import InputError

COMMON_GROUPS = (32, 64, 128, 256)


def largest_code(bits: int) -> int:
    """The largest code of a symmetric grid: 7 for 4 bits, 3 for 3 bits."""
    return int(2 ** (bits - 1)) - 1


def scales(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """The step of each grid, `max|w| / largest_code`, in float32; 1 where all weights are zero.

    Args:
        weight: [out, in].
        bits: bits a code, 2 to 8.
        group: neighbouring weights of a row that share a step, dividing `in`; None: the whole row.

    Returns:
        [out, in / group], or [out, 1] without groups.
    """
    step = _grouped(weight, group).abs().amax(dim=-1) / largest_code(bits)
    return torch.where(step > 0, step, 1.0)


def codes(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """The nearest point of the grid for each weight, [out, in], int8."""
    limit = largest_code(bits)
    nearest = (_grouped(weight, group) / scales(weight, bits, group)[..., None]).round()
    return nearest.clamp(-limit, limit).to(torch.int8).reshape(weight.shape)


def quantize_dequantize(weight: Tensor, bits: int, group: int | None = None) -> Tensor:
    """`code * scale`, the weights that an RTN model computes with, [out, in], float32."""
    step = scales(weight, bits, group)[..., None]
    return (_grouped(codes(weight, bits, group), group) * step).reshape(weight.shape)


def check_group(layers: Mapping[str, nn.Linear], group: int) -> None:
    """Complain before any work when `group` does not divide the rows of every layer.

    Raises:
        InputError: names the first layer at fault and the usual groups that fit all layers.
    """
    for name, layer in layers.items():
        if layer.in_features % group:
            fitting = [
                str(size)
                for size in COMMON_GROUPS
                if all(other.in_features % size == 0 for other in layers.values())
            ]
            advice = f"use {', '.join(fitting)}" if fitting else "use rtn<bits>, one scale a row"
            raise InputError(
                f"group {group} does not divide the {layer.in_features} inputs of {name}; {advice}"
            )


def _grouped(weight: Tensor, group: int | None) -> Tensor:
    """[out, in] -> [out, groups, group] in float32."""
    return weight.float().reshape(weight.shape[0], -1, group or weight.shape[1])
