"""Products in bf16 where the processor has no instructions for them."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear

from qunlearn.training import products


def multiplied() -> dict[str, Tensor]:
    """A layer with autocast over fp32 weights, attention's products, and their gradients."""
    torch.manual_seed(0)
    leaves = [torch.randn(shape, requires_grad=True) for shape in ((3, 40, 64), (48, 64), (48,))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = linear(*leaves)
        attended = hidden @ hidden.transpose(1, 2)
    gradients = torch.autograd.grad(attended.float().square().mean(), leaves)
    names = ("hidden", "attended", "states", "weight", "bias")
    return dict(zip(names, (hidden.detach(), attended.detach(), *gradients), strict=True))


def test_they_differ_by_the_order_of_sums_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = multiplied()
    monkeypatch.setattr(products, "has_bf16_instructions", lambda: False)
    left, right = torch.randn(32, 300), torch.randn(300, 32)
    with products.quick_bf16_products():
        quick, narrow, wide = multiplied(), left.bfloat16() @ right.bfloat16(), left @ right
    for name, value in quick.items():
        assert value.dtype == plain[name].dtype
        step = 2.0**-7 * plain[name].float().abs().max()  # a rounding, of a number that large
        assert (value.float() - plain[name].float()).abs().max() <= step, name
    # Made in fp32 and rounded once; those in fp32 are left alone.
    assert torch.equal(narrow, (left.bfloat16().float() @ right.bfloat16().float()).bfloat16())
    assert torch.equal(wide, left @ right)


def test_nothing_is_changed_where_there_are_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "has_bf16_instructions", lambda: True)
    monkeypatch.setattr(products, "_InFloat32", None)
    with products.quick_bf16_products():
        pass
