"""Asymmetric rounding: by hand, against the textbook's formula, and as a registered method."""

from pathlib import Path

import pytest
import torch
from small_grids import grid_of, rounded_to
from survival_models import save, small_llama

from qunlearn.models.updates import quantizable_layers
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of

NAME = "rtn4a16"


def test_by_hand() -> None:
    """From -0.5 to 1 in 15 steps of 0.1; zero point 5."""
    weight = torch.tensor([[-0.5, 1.0, 0.04, 0.26]])

    assert grid_of("rtn4a", weight).codes(weight).tolist() == [[-5, 10, 0, 3]]
    assert torch.allclose(rounded_to("rtn4a", weight), torch.tensor([[-0.5, 1.0, 0.0, 0.3]]))


@pytest.mark.parametrize("shift", [-0.05, 0.0, 0.05])
def test_equals_the_textbook_formula(shift: float) -> None:
    weight = torch.randn(8, 64, generator=torch.Generator().manual_seed(0)) * 0.02 + shift
    low, high = (edge.view(8, 4, 1) for edge in weight.view(8, 4, 16).aminmax(dim=-1))
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = (high - low) / 15
    zero = torch.round(-low / scale)
    codes = torch.clamp(torch.round(weight.view(8, 4, 16) / scale) + zero, 0, 15)

    assert torch.equal(rounded_to(NAME, weight), ((codes - zero) * scale).view(8, 64))


def test_zero_is_a_point_and_zeros_stay_finite() -> None:
    weight = torch.rand(4, 32) + 0.5  # all above 0
    weight[0] = 0

    grid = grid_of(NAME, weight)
    assert torch.equal(rounded_to(NAME, weight)[0], torch.zeros(32))
    assert bool((grid.step(weight) > 0).all())
    assert float(grid.values(grid.codes(weight * 0))[1:].abs().max()) == 0


def test_a_checkpoint_lies_on_the_grid(tmp_path: Path) -> None:
    source, precision = save(small_llama(), tmp_path / "source"), Precision.parse(NAME)
    method_of(precision).write(source, None, precision, tmp_path / NAME)
    model, _ = load_for_evaluation(tmp_path / NAME, NAME)

    for path, layer in quantizable_layers(small_llama()).items():
        expected = rounded_to(NAME, layer.weight.detach())
        assert torch.equal(model.get_submodule(path).weight.cpu(), expected)
    assert method_of(precision).label(precision) == "RTN4 asym g16"
    assert method_of(precision).stored_bits(precision) == 32  # the points, not the codes
