"""The points that each precision rounds weights to.

A grid is built from a weight matrix, or from a block of its rows, and then rounds any weights of
the same shape: the *fixed* grid of an update W -> W + d is W's, the *adaptive* one that of W + d.

GPTQ is another case, since the codes of a weight depend on those before it: what it ships, and the
points that it could hold, are read from its packed checkpoints (`packed`).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor

NF4 = (
    *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
    *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
    *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
    *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
)
"""The levels of NF4 (Dettmers et al. 2023, appendix E)."""
_FP4 = (1 / 192, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1.0)
FP4 = (*(-level for level in reversed(_FP4)), 0.0, *_FP4)
"""The levels of bitsandbytes' FP4; its two codes for zero are one level here."""
NEAR_ZERO = 1 / 8
"""A level nearer to 0 than this share of the distance between its two neighbours acts as 0."""
_TINY = torch.finfo(torch.float32).tiny


class Grid(ABC):
    """Points on the real line, for each weight of a matrix its own."""

    @abstractmethod
    def codes(self, weight: Tensor) -> Tensor:
        """Which point each weight is rounded to, [out, in]; the same code, the same point."""

    @abstractmethod
    def values(self, codes: Tensor) -> Tensor:
        """The points of `codes`, [out, in], float32."""

    @abstractmethod
    def step(self, weight: Tensor) -> Tensor:
        """The gap between the two neighbouring points that enclose each weight, [out, in].

        Of a weight on a point it is the gap above (bf16: away from zero), beyond the outermost
        points the last gap. Never zero.
        """

    def zero(self, codes: Tensor) -> Tensor:
        """Whether each code acts as 0, [out, in], bool.

        It stands for 0, or for a level so near that a weight between the two loses its update.
        """
        return codes == 0


class Bfloat16Grid(Grid):
    """All bfloat16 numbers; the same for every matrix. A code is the number itself."""

    def codes(self, weight: Tensor) -> Tensor:
        """The nearest bfloat16 numbers, ties to even, [out, in], float32."""
        return weight.bfloat16().float()

    def values(self, codes: Tensor) -> Tensor:
        """`codes` themselves."""
        return codes

    def step(self, weight: Tensor) -> Tensor:
        """One unit in the last place of 8 significant bits."""
        # The exponent's bits alone are the power of two below |w|.
        power = weight.contiguous().view(torch.int32).bitwise_and(0x7F800000).view(torch.float32)
        return power.mul_(2.0**-7).clamp_(min=2.0**-133)


class UniformGrid(Grid):
    """`(code + offset) * step`, one step for `group` neighbouring weights of a row.

    Args:
        steps: [out, in / group], float32.
        lowest, highest: codes; where groups differ, tensors [out, in / group, 1].
        midrise: points at odd multiples of half a step, instead of at multiples of it.
    """

    def __init__(
        self, steps: Tensor, lowest: float | Tensor, highest: float | Tensor, midrise: bool = False
    ) -> None:
        self._steps = steps.clamp(min=_TINY)[..., None]
        self._lowest = torch.as_tensor(lowest, dtype=torch.float32)
        self._highest = torch.as_tensor(highest, dtype=torch.float32)
        self._midrise = midrise

    def codes(self, weight: Tensor) -> Tensor:
        """Integers as float32, [out, in]; ties to even, of a mid-rise grid upwards."""
        steps = self._grouped(weight) / self._steps
        nearest = steps.floor_() if self._midrise else steps.round_()
        return nearest.clamp_(self._lowest, self._highest).view(weight.shape)

    def values(self, codes: Tensor) -> Tensor:
        """`(code + offset) * step`."""
        codes_ = self._grouped(codes)  # without an offset of 0, which would turn -0.0 into 0.0
        return ((codes_ + 0.5 if self._midrise else codes_) * self._steps).view(codes.shape)

    def step(self, weight: Tensor) -> Tensor:
        """The same for each weight of a group."""
        return self._steps.expand(self._grouped(weight).shape).reshape(weight.shape)

    def zero(self, codes: Tensor) -> Tensor:
        """The code 0, but of a mid-rise grid none."""
        return torch.zeros_like(codes, dtype=torch.bool) if self._midrise else super().zero(codes)

    def _grouped(self, weight: Tensor) -> Tensor:
        return weight.reshape(*self._steps.shape[:2], -1)


class OffsetGrid(UniformGrid):
    """`low + code * step`; whether 0 is among the points differs from group to group.

    Args:
        steps, lows: [out, in / group], float32.
        highest: code; the lowest is 0.
    """

    def __init__(self, steps: Tensor, highest: int, lows: Tensor) -> None:
        super().__init__(steps, 0, highest)
        self._lows = lows[..., None]

    def codes(self, weight: Tensor) -> Tensor:
        """Integers as float32, [out, in]."""
        return super().codes(self._grouped(weight) - self._lows).view(weight.shape)

    def values(self, codes: Tensor) -> Tensor:
        """`low + code * step`."""
        return (self._grouped(super().values(codes)) + self._lows).view(codes.shape)

    def zero(self, codes: Tensor) -> Tensor:
        """The codes of exactly 0, for how near the next point lies differs from group to group."""
        return self.values(codes) == 0


class Int8Grid(UniformGrid):
    """LLM.int8() (Dettmers et al. 2022): float16 weights, a scale a row, largest code 127."""

    def __init__(self, weight: Tensor) -> None:
        largest = weight.half().abs().amax(dim=1, keepdim=True).float()
        super().__init__(largest / 127, -127, 127)
        self._factors = 127.0 / largest.clamp(min=2.0**-24)  # the smallest float16: rows of zeros

    def codes(self, weight: Tensor) -> Tensor:
        """Integers as float32, [out, in], with the rounding of bitsandbytes' own arithmetic."""
        return (weight.half() * self._factors).round_().clamp_(self._lowest, self._highest)


class CodebookGrid(Grid):
    """Sorted levels times a scale, which neighbouring weights of a row share.

    A code is the level's index. A weight halfway between two levels goes to the lower one.

    Args:
        scales: [blocks, 1], float32, row after row; negative ones turn the levels round.
        levels: as `NF4`.
    """

    def __init__(self, scales: Tensor, levels: tuple[float, ...]) -> None:
        self._levels = torch.tensor(levels)
        self._scales = scales
        # bitsandbytes multiplies by it, too; blocks of zeros have a scale of 0.
        self._factors = 1.0 / torch.where(scales.abs() < 1e-38, 1e-38, scales)

    def codes(self, weight: Tensor) -> Tensor:
        """Indices of levels, [out, in], int32: how many borders between levels lie below."""
        borders = (self._levels[:-1] + self._levels[1:]) / 2
        scaled = self._scaled(weight)
        return _count(scaled > border for border in borders.tolist()).view(weight.shape)

    def values(self, codes: Tensor) -> Tensor:
        """The level times the block's scale."""
        return (self._at(self._levels, codes) * self._scales).view(codes.shape)

    def step(self, weight: Tensor) -> Tensor:
        """The gap between two levels times the block's scale."""
        scaled = self._scaled(weight)
        gap = _count(scaled >= level for level in self._levels[1:-1].tolist())
        gaps = self._at(self._levels.diff(), gap)
        return (gaps * self._scales).abs_().clamp_(min=_TINY).view(weight.shape)

    def zero(self, codes: Tensor) -> Tensor:
        """Of NF4 the level 0, of FP4 also its neighbours +-1/192."""
        apart, near = self._levels[2:] - self._levels[:-2], torch.zeros(len(self._levels))
        near[1:-1] = self._levels[1:-1].abs() < NEAR_ZERO * apart
        return self._at(near, codes).view(codes.shape).bool()

    def _scaled(self, weight: Tensor) -> Tensor:
        """[blocks, weights], in units of the levels."""
        return weight.reshape(len(self._scales), -1) * self._factors

    def _at(self, table: Tensor, index: Tensor) -> Tensor:
        """[blocks, weights] entries of a table: several times as fast as `table[index]`."""
        return table.index_select(0, index.reshape(-1)).view(len(self._scales), -1)


def block_maxima(weight: Tensor, block: int) -> Tensor:
    """The largest |w| of `block` neighbours of a row, [blocks, 1]."""
    return weight.reshape(-1, block).abs().amax(dim=1, keepdim=True)


def _count(flags: Iterable[Tensor]) -> Tensor:
    """How many flags are set at each place, int32: three times as fast as `torch.bucketize`."""
    counts: Tensor = sum(flag.view(torch.uint8) for flag in flags)  # type: ignore[assignment]
    return counts.int()
