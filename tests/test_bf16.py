"""Products in bf16 where the processor has no instructions for them."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from qunlearn.training import products


@pytest.fixture(autouse=True)
def no_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_bf16_instructions", lambda: False)


def multiplied() -> dict[str, Tensor]:
    """A layer with autocast over fp32 weights, attention's products, and their gradients."""
    torch.manual_seed(0)
    states = torch.randn(3, 40, 64, requires_grad=True)
    weight = torch.randn(48, 64, requires_grad=True)
    bias = torch.randn(48, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = linear(states, weight, bias)
        attended = hidden @ hidden.transpose(1, 2)
    attended.float().square().mean().backward()
    found = {"hidden": hidden, "attended": attended}
    for name, leaf in (("states", states), ("weight", weight), ("bias", bias)):
        assert leaf.grad is not None
        found[name] = leaf.grad
    return {name: value.detach() for name, value in found.items()}


def test_they_differ_by_the_order_of_sums_alone() -> None:
    plain = multiplied()
    with products.quick_bf16_products():
        quick = multiplied()
    for name, value in quick.items():
        assert value.dtype == plain[name].dtype
        step = 2.0**-7 * plain[name].float().abs().max()  # a rounding, of a number that large
        assert (value.float() - plain[name].float()).abs().max() <= step, name


def test_they_are_made_in_fp32_and_rounded_once() -> None:
    left, right = torch.randn(32, 300).bfloat16(), torch.randn(300, 32).bfloat16()
    with products.quick_bf16_products():
        found = left @ right
        given = torch.mm(left, right, out=torch.empty_like(found))
    expected = (left.float() @ right.float()).bfloat16()
    assert torch.equal(found, expected)
    assert torch.equal(given, expected)


def test_other_products_are_left_alone() -> None:
    left, right = torch.randn(32, 300), torch.randn(300, 32)
    expected = left @ right
    with products.quick_bf16_products():
        assert torch.equal(left @ right, expected)


def test_nothing_is_changed_where_there_are_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(products, "_InFloat32", None)
    with products.quick_bf16_products():
        pass
