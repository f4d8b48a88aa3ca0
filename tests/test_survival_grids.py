"""Grids: by hand, and bit for bit what the quantizers store."""

import pytest
import torch
from bitsandbytes import functional
from small_grids import grid_of
from torch import Tensor

from qunlearn.quantize.grids import (
    FP4,
    NF4,
    CodebookGrid,
    Grid,
    packed_grid,
    rows_together,
)

ALL = ("bf16", "int8", "nf4", "fp4", "rtn4", "rtn3g32", "rtn3g32m", "rtn2m")


def grid(weight: Tensor, precision: str) -> Grid:
    return grid_of(precision, weight)


def rounded(points: Grid, weight: Tensor) -> Tensor:
    return points.values(points.codes(weight))


def noise(rows: int, columns: int, seed: int = 0) -> Tensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed))
    weight[0] = 0
    return weight


@pytest.mark.parametrize(("kind", "levels"), [("nf4", NF4), ("fp4", FP4)])
def test_levels_are_those_of_bitsandbytes(kind: str, levels: tuple[float, ...]) -> None:
    theirs = functional.get_4bit_type(kind, device="cpu", blocksize=64)
    assert torch.equal(torch.tensor(levels), theirs.unique())


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("size", [1.0, 0.02])
def test_four_bit_equals_bitsandbytes(kind: str, size: float) -> None:
    weight = noise(96, 128) * size
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type=kind)
    assert torch.equal(
        rounded(grid(weight, kind), weight), functional.dequantize_4bit(packed, state)
    )


@pytest.mark.parametrize("shape", [(7, 96), (5, 33), (1, 16)])
def test_four_bit_blocks_cross_rows_and_the_last_may_be_short(shape: tuple[int, int]) -> None:
    """The codes are unpacked here: bitsandbytes' own CPU kernel misreads rows of 96 weights."""
    weight = noise(*shape) + 1.0
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")
    codes = torch.stack([packed.view(-1) >> 4, packed.view(-1) & 15], 1).view(-1)[: weight.numel()]
    points = torch.tensor(NF4)[codes.long()] * state.absmax.repeat_interleave(64)[: len(codes)]

    ours = grid(weight, "nf4")
    assert torch.equal(ours.codes(weight).view(-1), codes.int())
    assert torch.equal(rounded(ours, weight).view(-1), points)


def test_a_short_block_is_divided_by_its_scale() -> None:
    """Multiplied by the reciprocal, this weight would fall on the other side of a border."""
    weight = torch.tensor([[0.8074228167533875, 0.6955773830413818]])
    packed, _ = functional.quantize_4bit(weight, blocksize=64, quant_type="nf4")

    assert grid(weight, "nf4").codes(weight).tolist() == [[15, 15]]
    assert packed.tolist() == [[0xFF]]


@pytest.mark.parametrize("levels", [NF4, FP4, (-1.0, 0.0, 2 * (0.25 - 2.0**-26), 1.0)])
def test_the_table_finds_what_a_search_finds(levels: tuple[float, ...]) -> None:
    points = torch.tensor(levels)
    borders = (points[:-1] + points[1:]) / 2
    near = [torch.nextafter(borders, torch.tensor(side)) for side in (-2.0, 2.0)]
    edges = torch.arange(-128, 129) / 128
    nearer = [torch.nextafter(edges, torch.tensor(side)).clamp(-1, 1) for side in (-2.0, 2.0)]
    numbers = torch.cat([torch.linspace(-1, 1, 100_000), borders, *near, edges, *nearer])
    numbers = torch.cat([numbers, torch.zeros(-len(numbers) % 63)]).view(-1, 63)
    weight = torch.cat([torch.ones(len(numbers), 1), numbers], dim=1)  # each block's largest is 1

    found = CodebookGrid(weight, levels).codes(weight)

    assert torch.equal(found, torch.searchsorted(borders, weight).int())


def test_int8_equals_bitsandbytes() -> None:
    weight = noise(32, 100)
    integers, largest, _ = functional.int8_vectorwise_quant(weight.half())

    ours = grid(weight, "int8")
    assert torch.equal(ours.codes(weight).to(torch.int8), integers)
    assert torch.allclose(rounded(ours, weight), integers * largest[:, None] / 127, rtol=1e-6)


def test_bf16_equals_a_cast() -> None:
    weight = noise(8, 40)
    assert torch.equal(rounded(grid(weight, "bf16"), weight), weight.to(torch.bfloat16).float())


@pytest.mark.parametrize("columns", [16, 33, 96, 128])
@pytest.mark.parametrize("name", ["nf4", "int8", "rtn4"])
def test_whole_blocks_of_rows_have_the_grid_of_the_matrix(name: str, columns: int) -> None:
    weight = noise(150, columns)
    step = rows_together(columns)
    pieces = weight.split(step)
    assert len(pieces) > 1
    pieced = torch.cat([rounded(grid(piece, name), piece) for piece in pieces])
    assert torch.equal(pieced, rounded(grid(weight, name), weight))


def test_bf16_steps_by_hand() -> None:
    weight = torch.tensor([[1.0, -1.5, 0.99, 2.0, 0.0]])
    expected = [[2**-7, 2**-7, 2**-8, 2**-6, 2.0**-133]]
    assert grid(weight, "bf16").step(weight).tolist() == expected


def test_steps_of_a_uniform_grid_are_a_group_each() -> None:
    weight = torch.tensor([[0.3, -0.1, 3.0, 2.0]])
    steps = grid(weight, "rtn3g2").step(weight)
    assert torch.allclose(steps, torch.tensor([[0.1, 0.1, 1.0, 1.0]]))
    assert torch.allclose(grid(weight, "rtn3m").step(weight), torch.full((1, 4), 3 / 3.5))


def test_steps_of_nf4_by_hand() -> None:
    """Largest weight 2; a number on a level looks up, one beyond the ends has the last gap."""
    weight = torch.zeros(1, 64)
    weight[0, 0] = 2.0
    asked = weight.clone()
    asked[0, :6] = torch.tensor([2.0, 5.0, -5.0, 0.0, 1.2, -1e-3])
    last, first = NF4[15] - NF4[14], NF4[1] - NF4[0]
    gaps = [last, last, first, NF4[8] - NF4[7], NF4[14] - NF4[13], NF4[7] - NF4[6]]
    steps = grid(weight, "nf4").step(asked)[0, :6]
    assert torch.allclose(steps, 2 * torch.tensor(gaps))


@pytest.mark.parametrize("name", ALL)
def test_rows_of_zeros_have_a_step_and_finite_points(name: str) -> None:
    weight = torch.zeros(2, 64)
    zero = grid(weight, name)
    assert bool((zero.step(weight) > 0).all())
    assert bool(rounded(zero, weight + 0.1).isfinite().all())


@pytest.mark.parametrize("name", ALL)
def test_only_mid_rise_grids_have_no_zero_bin(name: str) -> None:
    weight = noise(4, 64)[1:]
    weight[0, :2] = torch.tensor([0.0, 1e-9])
    zeros = rounded(grid(weight, name), weight) == 0
    assert bool(zeros[0, 0]) is not name.endswith("m")
    assert bool(zeros[0, 1]) is not (name.endswith("m") or name == "bf16")
    assert not bool(zeros.all())


def test_packed_grid_by_hand() -> None:
    """All 16 codes, -8 among them, and nothing beyond."""
    points = packed_grid(torch.tensor([[0.5, 2.0]]), 4)
    weight = torch.tensor([[0.7, -9.0, 3.1, 99.0]])
    assert points.codes(weight).tolist() == [[1, -8, 2, 7]]
    assert rounded(points, weight).tolist() == [[0.5, -4.0, 4.0, 14.0]]
