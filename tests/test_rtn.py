"""Round-to-nearest: both grids by hand."""

import pytest
import torch
from small_grids import grid_of, rounded_to
from torch import Tensor

from qunlearn.quantize.methods.rtn import scales


def codes(weight: Tensor, name: str) -> list[list[int]]:
    return grid_of(name, weight).codes(weight).int().tolist()


def test_rtn_by_hand() -> None:
    weight = torch.tensor([[0.7, -0.33, 0.05, 0.0], [-1.4, 0.31, 0.2, 1.0]])

    assert torch.allclose(scales(weight, 4), torch.tensor([[0.1], [0.2]]))
    assert codes(weight, "rtn4") == [[7, -3, 0, 0], [-7, 2, 1, 5]]
    expected = torch.tensor([[0.7, -0.3, 0.0, 0.0], [-1.4, 0.4, 0.2, 1.0]])
    assert torch.allclose(rounded_to("rtn4", weight), expected)


def test_rtn_groups_by_hand() -> None:
    weight = torch.tensor([[0.3, -0.1, 0.03, 0.02]])

    assert torch.allclose(scales(weight, 3, group=2), torch.tensor([[0.1, 0.01]]))
    assert codes(weight, "rtn3g2") == [[3, -1, 3, 2]]
    assert torch.allclose(rounded_to("rtn3g2", weight), weight)
    assert codes(weight, "rtn3") == [[3, -1, 0, 0]]


def test_midrise_by_hand() -> None:
    """Two bits: four levels at -1.5, -0.5, 0.5 and 1.5 steps; each outermost one is max|w|."""
    weight = torch.tensor([[0.3, 0.21, 0.19, 0.0], [-1.5, -1.01, -0.99, 1.5]])

    assert torch.allclose(scales(weight, 2, midrise=True), torch.tensor([[0.2], [1.0]]))
    assert codes(weight, "rtn2m") == [[1, 1, 0, 0], [-2, -2, -1, 1]]
    expected = torch.tensor([[0.3, 0.3, 0.1, 0.1], [-1.5, -1.5, -0.5, 1.5]])
    assert torch.allclose(rounded_to("rtn2m", weight), expected)


def test_midrise_parts_at_zero_and_shares_steps_in_groups() -> None:
    weight = torch.tensor([[0.01, -0.01, 0.35, -0.35, 7.0, -7.0, 3.9, -0.1]])

    assert torch.allclose(scales(weight, 3, 4, midrise=True), torch.tensor([[0.1, 2.0]]))
    assert codes(weight, "rtn3g4m") == [[0, -1, 3, -4, 3, -4, 1, -1]]
    expected = torch.tensor([[0.05, -0.05, 0.35, -0.35, 7.0, -7.0, 3.0, -1.0]])
    assert torch.allclose(rounded_to("rtn3g4m", weight), expected)


def test_rtn_of_zeros_is_zero() -> None:
    weight = torch.zeros(2, 4)

    assert torch.equal(scales(weight, 4), torch.ones(2, 1))
    assert torch.equal(rounded_to("rtn4g2", weight), weight)
    assert bool((rounded_to("rtn4m", weight).abs() < 1e-37).all())


@pytest.mark.parametrize("midrise", [False, True])
@pytest.mark.parametrize(("bits", "group"), [(2, None), (3, 16), (4, None), (8, 32)])
def test_rtn_is_idempotent_and_near(bits: int, group: int | None, midrise: bool) -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))

    name = f"rtn{bits}{f'g{group}' if group else ''}{'m' if midrise else ''}"
    once = rounded_to(name, weight)

    assert codes(once, name) == codes(weight, name)
    assert torch.allclose(rounded_to(name, once), once, rtol=1e-6)
    step = scales(weight, bits, group, midrise=midrise).repeat_interleave(group or 64, dim=1)
    assert bool(((weight - once).abs() <= step * 0.5001).all())
    assert bool((once == 0).any()) != midrise
