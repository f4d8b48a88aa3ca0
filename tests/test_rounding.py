"""Stochastic rounding to bf16: right on average, exact where it can be, the same for a seed."""

import copy
import math

import pytest
import torch
from tiny_models import same, tiny_llama, weights
from torch import Tensor, nn
from torch.optim import AdamW

from qunlearn.training import rounding
from qunlearn.training.rounding import StochasticAdamW, round_stochastically

# Between two neighbours in bf16, whose distance is 2^-7 of the power of two below.
VALUES = [1 + 2**-9, -(1 + 3 * 2**-10), 0.3, 1e-5, -7e-30, 255.9999]


@pytest.mark.parametrize("value", VALUES)
def test_the_mean_of_many_roundings_is_the_value(value: float) -> None:
    """Within four standard errors of a coin that shows one neighbour or the other."""
    torch.manual_seed(0)
    exact = torch.full((100_000,), value)
    found = round_stochastically(exact).double()
    low, high = found.unique().tolist()
    gap = 2.0 ** (math.frexp(value)[1] - 8)
    assert low < exact[0] < high
    assert high - low == gap
    share = (float(exact[0]) - low) / gap
    error = gap * math.sqrt(share * (1 - share) / len(exact))
    assert abs(float(found.mean()) - float(exact[0])) < 4 * error


def test_what_bf16_holds_never_changes() -> None:
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    finite = every[torch.isfinite(every)]
    rounded = round_stochastically(finite.float())
    assert torch.equal(rounded.view(torch.int16), finite.view(torch.int16))


def stepped(optimizer: type[AdamW], seed: int) -> dict[str, Tensor]:
    """The weights after five updates by gradients that are the same in each call."""
    model: nn.Module = copy.deepcopy(tiny_llama()).bfloat16()
    trained = optimizer(model.parameters(), lr=1e-3, weight_decay=0.01, fused=True)
    torch.manual_seed(1)
    gradients = [[torch.randn_like(weight) for weight in model.parameters()] for _ in range(5)]
    torch.manual_seed(seed)
    for one in gradients:
        for weight, gradient in zip(model.parameters(), one, strict=True):
            weight.grad = gradient
        trained.step()
    return weights(model)


def test_nothing_but_the_rounding_differs_from_torch_s_adamw(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nearest = stepped(AdamW, 0)
    first, again, other = (stepped(StochasticAdamW, seed) for seed in (0, 0, 1))
    assert same(first, again)
    assert not same(first, other)
    assert not same(first, nearest)
    monkeypatch.setattr(rounding, "round_stochastically", Tensor.bfloat16)
    assert same(stepped(StochasticAdamW, 0), nearest)
