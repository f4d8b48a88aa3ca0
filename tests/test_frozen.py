"""Frozen weights in bf16 beside an adapter: the same numbers bit for bit, and fp32 afterwards."""

from dataclasses import replace

import pytest
import torch
from tiny_models import FORGET, PAD, UNLEARNING, mixed_precision, same, tiny_llama, wake, weights
from torch import Tensor, nn
from transformers import LlamaForCausalLM

from qunlearn.training.adapters import narrow_frozen, with_adapter
from qunlearn.training.losses import head_weight, hidden_states, mean_nll, token_nll
from qunlearn.training.rows import collate

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


def adapted(model: LlamaForCausalLM) -> nn.Module:
    found = with_adapter(model, "lora", replace(UNLEARNING, dropout=0.0), seed=0)
    wake(found)
    return found


def gradients(model: nn.Module) -> dict[str, Tensor]:
    model.zero_grad()
    batch = collate(FORGET, PAD)
    with mixed_precision():
        hidden = hidden_states(model, batch)
        loss = mean_nll(*token_nll(hidden, head_weight(model), batch["labels"]))
    loss.backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {"loss": loss.detach()} | {
        name: gradient for name, gradient in found.items() if gradient is not None
    }


def frozen_linears(model: nn.Module) -> list[nn.Parameter]:
    return [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "lora" not in name
    ]


def test_numbers_are_the_same_and_weights_come_back() -> None:
    model = adapted(tiny_llama().bfloat16().float())
    before, expected = weights(model), gradients(model)
    with narrow_frozen(model, torch.bfloat16):
        assert {weight.dtype for weight in frozen_linears(model)} == {torch.bfloat16}
        others = [weight for weight in model.parameters() if weight.requires_grad]
        assert {weight.dtype for weight in others} == {torch.float32}
        assert same(expected, gradients(model))
    assert same(before, weights(model))
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


def test_weights_that_bf16_would_round_stay() -> None:
    model = adapted(tiny_llama())
    with narrow_frozen(model, torch.bfloat16):
        assert {weight.dtype for weight in frozen_linears(model)} == {torch.float32}


def test_tied_embeddings_stay() -> None:
    model = tiny_llama().bfloat16().float()
    model.lm_head.weight = model.model.embed_tokens.weight
    found = adapted(model)
    with narrow_frozen(found, torch.bfloat16):
        assert head_weight(found).dtype == torch.float32
        assert model.model.layers[0].mlp.up_proj.base_layer.weight.dtype == torch.bfloat16


def test_a_model_that_is_trained_whole_stays() -> None:
    model = tiny_llama().bfloat16().float()
    with narrow_frozen(model, torch.bfloat16):
        assert {weight.dtype for weight in model.parameters()} == {torch.float32}
