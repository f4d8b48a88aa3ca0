"""Round-to-nearest: both grids by hand."""

import pytest
import torch
from small_grids import grid_of, rounded_to
from torch import Tensor


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
        ("rtn3", [[0.3, -0.1, 0.03, 0.02]], [[0.1]], [[3, -1, 0, 0]], [[0.3, -0.1, 0, 0]]),
        (
            "rtn3g2",
            [[0.3, -0.1, 0.03, 0.02]],
            [[0.1, 0.1, 0.01, 0.01]],
            [[3, -1, 3, 2]],
            [[0.3, -0.1, 0.03, 0.02]],
        ),
        # Two bits: four levels at -1.5, -0.5, 0.5 and 1.5 steps; each outermost one is max|w|.
        (
            "rtn2m",
            [[0.3, 0.21, 0.19, 0.0], [-1.5, -1.01, -0.99, 1.5]],
            [[0.2], [1.0]],
            [[1, 1, 0, 0], [-2, -2, -1, 1]],
            [[0.3, 0.3, 0.1, 0.1], [-1.5, -1.5, -0.5, 1.5]],
        ),
        (
            "rtn3g4m",
            [[0.01, -0.01, 0.35, -0.35, 7.0, -7.0, 3.9, -0.1]],
            [[0.1] * 4 + [2.0] * 4],
            [[0, -1, 3, -4, 3, -4, 1, -1]],
            [[0.05, -0.05, 0.35, -0.35, 7.0, -7.0, 3.0, -1.0]],
        ),
    ],
)
def test_by_hand(
    name: str,
    weight: list[list[float]],
    steps: list[list[float]],
    codes: list[list[int]],
    points: list[list[float]],
) -> None:
    matrix = torch.tensor(weight)
    grid = grid_of(name, matrix)
    found = grid.step(matrix)
    assert torch.allclose(found, torch.tensor(steps).expand(found.shape))
    assert grid.codes(matrix).int().tolist() == codes
    assert torch.allclose(rounded_to(name, matrix), torch.tensor(points))


def test_zeros_stay_zero() -> None:
    weight = torch.zeros(2, 4)
    assert torch.equal(rounded_to("rtn4g2", weight), weight)
    assert bool((rounded_to("rtn4m", weight).abs() < 1e-37).all())


@pytest.mark.parametrize("name", ["rtn2", "rtn3g16", "rtn8g32", "rtn2m", "rtn3g16m"])
def test_rounding_is_idempotent_and_near(name: str) -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
    once = rounded_to(name, weight)

    def codes(matrix: Tensor) -> Tensor:
        return grid_of(name, matrix).codes(matrix)

    assert torch.equal(codes(once), codes(weight))
    assert torch.allclose(rounded_to(name, once), once, rtol=1e-6)
    step = grid_of(name, weight).step(weight)
    assert bool(((weight - once).abs() <= step * 0.5001).all())
    assert bool((once == 0).any()) != name.endswith("m")
