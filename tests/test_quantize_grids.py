"""Grids: by hand, by the textbook's formulas, and bit for bit what the quantizers store."""

import pytest
import torch
from bitsandbytes import functional
from survival_models import grid_of, rounded_to
from torch import Tensor

from qunlearn.quantize.grids import FP4, NF4, CodebookGrid
from qunlearn.quantize.method import Precision, method_of

ALL = ("bf16", "int8", "nf4", "fp4", "rtn4", "rtn3g32", "rtn3g32m", "rtn2m", "rtn4a32")
Rows = list[list[float]]


def noise(rows: int, columns: int) -> Tensor:
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(0))
    weight[0] = 0
    return weight


@pytest.mark.parametrize(
    ("name", "weight", "steps", "codes", "points"),
    [
        (
            "rtn4",
            [[0.7, -0.33, 0.05, 0.0], [-1.4, 0.31, 0.2, 1.0]],
            [[0.1], [0.2]],
            [[7, -3, 0, 0], [-7, 2, 1, 5]],
            [[0.7, -0.3, 0.0, 0.0], [-1.4, 0.4, 0.2, 1.0]],
        ),
        # Two bits: four levels at -1.5, -0.5, 0.5 and 1.5 steps; each outermost one is max|w|.
        (
            "rtn2m",
            [[0.3, 0.21, 0.19, 0.0], [-1.5, -1.01, -0.99, 1.5]],
            [[0.2], [1.0]],
            [[1, 1, 0, 0], [-2, -2, -1, 1]],
            [[0.3, 0.3, 0.1, 0.1], [-1.5, -1.5, -0.5, 1.5]],
        ),
        # From -0.5 to 1 in 15 steps of 0.1; zero point 5.
        # Groups of two inputs.
        ("rtn3g2", [[0.3, -0.1, 0.03, 0.02]], [[0.1, 0.1, 0.01, 0.01]], [[3, -1, 3, 2]], None),
        ("rtn4a", [[-0.5, 1.0, 0.04, 0.26]], [[0.1]], [[-5, 10, 0, 3]], [[-0.5, 1.0, 0.0, 0.3]]),
    ],
)
def test_rounding_to_nearest_by_hand(
    name: str, weight: Rows, steps: Rows, codes: list[list[int]], points: Rows | None
) -> None:
    matrix = torch.tensor(weight)
    grid = grid_of(name, matrix)
    found = grid.step(matrix)
    assert torch.allclose(found, torch.tensor(steps).expand(found.shape))
    assert grid.codes(matrix).int().tolist() == codes
    assert torch.allclose(rounded_to(name, matrix), torch.tensor(points or weight))


@pytest.mark.parametrize("shift", [-0.05, 0.0, 0.05])
def test_asymmetric_rounding_equals_the_textbook_formula(shift: float) -> None:
    weight = noise(9, 64)[1:] * 0.02 + shift
    low, high = (edge.view(8, 4, 1) for edge in weight.view(8, 4, 16).aminmax(dim=-1))
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low) / 15
    zero = torch.round(-low / scale)
    codes = torch.clamp(torch.round(weight.view(8, 4, 16) / scale) + zero, 0, 15)
    assert torch.equal(rounded_to("rtn4a16", weight), ((codes - zero) * scale).view(8, 64))


@pytest.mark.parametrize(("kind", "levels"), [("nf4", NF4), ("fp4", FP4)])
def test_four_bits_equal_bitsandbytes_and_a_search(kind: str, levels: tuple[float, ...]) -> None:
    theirs = functional.get_4bit_type(kind, device="cpu", blocksize=64)
    assert torch.equal(torch.tensor(levels), theirs.unique())
    for size in (1.0, 0.02):
        weight = noise(96, 192) * size
        packed, state = functional.quantize_4bit(weight, blocksize=64, quant_type=kind)
        assert torch.equal(rounded_to(kind, weight), functional.dequantize_4bit(packed, state))
    points = torch.tensor(levels)
    borders = (points[:-1] + points[1:]) / 2
    near = [torch.nextafter(borders, torch.tensor(side)) for side in (-2.0, 2.0)]
    numbers = torch.cat([torch.linspace(-1, 1, 6300), borders, *near])
    numbers = torch.cat([numbers, torch.zeros(-len(numbers) % 63)]).view(-1, 63)
    weight = torch.cat([torch.ones(len(numbers), 1), numbers], dim=1)  # each block's largest is 1
    found = CodebookGrid(torch.ones(len(weight), 1), levels).codes(weight)
    assert torch.equal(found, torch.searchsorted(borders, weight).int())


def test_eight_bits_equal_bitsandbytes() -> None:
    weight = noise(32, 100)
    integers, largest, _ = functional.int8_vectorwise_quant(weight.half())
    assert torch.equal(grid_of("int8", weight).codes(weight).to(torch.int8), integers)
    expected = integers * largest[:, None] / 127
    assert torch.allclose(rounded_to("int8", weight), expected, rtol=1e-6)


def test_steps_of_bf16_and_nf4_by_hand() -> None:
    """On a level of nf4 the gap above counts, beyond the ends the last one."""
    weight = torch.tensor([[1.0, -1.5, 0.99, 2.0, 0.0]])
    expected = [[2**-7, 2**-7, 2**-8, 2**-6, 2.0**-133]]
    assert grid_of("bf16", weight).step(weight).tolist() == expected
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


@pytest.mark.parametrize(
    ("name", "zero", "others"),
    [
        ("bf16", [0.0], [1e-9, -1e-9]),
        ("int8", [0.0, 0.003, -0.003], [0.005, -0.005]),
        ("rtn4", [0.0, 0.07, -0.07], [0.08, -0.08]),
        ("rtn4a", [0.0, 0.06, -0.06], [0.07, -0.07]),  # of a row from -1 to 1
        ("rtn3g32m", [], [0.0, 1e-9, -1e-9]),
        ("nf4", [0.0, 0.039, -0.045], [0.04, -0.046]),
        # Three codes, 0 and +-1/192; their bins end halfway to +-1/6.
        ("fp4", [0.0, 0.004, -0.004, 0.085, -0.085], [0.087, -0.087]),
    ],
)
def test_which_codes_act_as_zero(name: str, zero: list[float], others: list[float]) -> None:
    weight = torch.ones(1, 64)
    weight[0, 1] = -1.0
    numbers = weight.clone()
    numbers[0, 2 : 2 + len(zero + others)] = torch.tensor(zero + others)
    grid = grid_of(name, weight)
    found = grid.zero(grid.codes(numbers))
    assert found.shape == numbers.shape
    assert found[0, 2:].tolist()[: len(zero + others)] == [True] * len(zero) + [False] * len(others)
    assert not found[0, :2].any() and not found[0, 2 + len(zero + others) :].any()


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        *(("bf16", 16), ("int8", 8), ("nf4", 4.5), ("rtn4", 4), ("rtn3g64", 3.25)),
        *(("rtn4a128", 4 + 20 / 128), ("gptq4", 4 + 20 / 128), ("q4_k", 4.5), ("q3_k", 3.4375)),
        *(("q6_k", 6.5625), ("mxfp4", 4.25)),
    ],
)
def test_bits_of_a_weight_and_its_share_of_the_scales(name: str, bits: float) -> None:
    assert method_of(name).shipped_bits(Precision.parse(name)) == bits
