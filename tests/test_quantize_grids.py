"""Grids: by hand, and bit for bit what the quantizers store."""

import pytest
import torch
from bitsandbytes import functional
from small_grids import grid_of, rounded_to
from torch import Tensor

from qunlearn.quantize.grids import FP4, NF4, CodebookGrid
from qunlearn.quantize.packed import PackedMatrix

ALL = ("bf16", "int8", "nf4", "fp4", "rtn4", "rtn3g32", "rtn3g32m", "rtn2m")


def noise(rows: int, columns: int) -> Tensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    weight[0] = 0
    return weight


@pytest.mark.parametrize(("kind", "levels"), [("nf4", NF4), ("fp4", FP4)])
@pytest.mark.parametrize("size", [1.0, 0.02])
def test_four_bit_equals_bitsandbytes(kind: str, levels: tuple[float, ...], size: float) -> None:
    theirs = functional.get_4bit_type(kind, device="cpu", blocksize=64)
    assert torch.equal(torch.tensor(levels), theirs.unique())
    weight = noise(96, 192) * size
    packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type=kind)
    assert torch.equal(rounded_to(kind, weight), functional.dequantize_4bit(packed, state))


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
    assert torch.equal(grid_of("int8", weight).codes(weight).to(torch.int8), integers)
    expected = integers * largest[:, None] / 127
    assert torch.allclose(rounded_to("int8", weight), expected, rtol=1e-6)


def test_bf16_equals_a_cast() -> None:
    weight = noise(8, 40)
    assert torch.equal(rounded_to("bf16", weight), weight.to(torch.bfloat16).float())
    weight = torch.tensor([[1.0, -1.5, 0.99, 2.0, 0.0]])
    expected = [[2**-7, 2**-7, 2**-8, 2**-6, 2.0**-133]]
    assert grid_of("bf16", weight).step(weight).tolist() == expected


def test_steps_of_nf4_by_hand() -> None:
    """Largest weight 2; a number on a level looks up, one beyond the ends has the last gap."""
    weight = torch.zeros(1, 64)
    weight[0, 0] = 2.0
    numbers = weight.clone()
    numbers[0, :6] = torch.tensor([2.0, 5.0, -5.0, 0.0, 1.2, -1e-3])
    last, first = NF4[15] - NF4[14], NF4[1] - NF4[0]
    gaps = [last, last, first, NF4[8] - NF4[7], NF4[14] - NF4[13], NF4[7] - NF4[6]]
    steps = grid_of("nf4", weight).step(numbers)[0, :6]
    assert torch.allclose(steps, 2 * torch.tensor(gaps))


@pytest.mark.parametrize("name", ALL)
def test_zeros_have_a_step_and_only_mid_rise_grids_have_no_zero_bin(name: str) -> None:
    weight = torch.zeros(2, 64)
    grid = grid_of(name, weight)
    assert bool((grid.step(weight) > 0).all())
    assert bool(grid.values(grid.codes(weight + 0.1)).isfinite().all())
    weight = noise(4, 64)[1:]
    weight[0, :2] = torch.tensor([0.0, 1e-9])
    zeros = rounded_to(name, weight) == 0
    assert bool(zeros[0, 0]) is not name.endswith("m")
    assert bool(zeros[0, 1]) is not (name.endswith("m") or name == "bf16")
    assert not bool(zeros.all())


def test_packed_grid_by_hand() -> None:
    """All 16 codes, -8 among them, and nothing beyond."""
    matrix = PackedMatrix(torch.zeros(1, 4, dtype=torch.int16), torch.tensor([[0.5, 2.0]]), 4)
    weight = torch.tensor([[0.7, -9.0, 3.1, 99.0]])
    codes = matrix.grid().codes(weight)
    assert codes.tolist() == [[1, -8, 2, 7]]
    assert matrix.grid().values(codes).tolist() == [[0.5, -4.0, 4.0, 14.0]]
