"""References: the untrained model is remembered exactly."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import (
    FORGET,
    RETAIN,
    UNLEARNING,
    full_precision,
    logits,
    mixed_precision,
    tiny_llama,
    wake,
)
from torch.nn.functional import linear

from qunlearn.training.adapters import with_adapter
from qunlearn.training.reference import cached_states, row_nll
from qunlearn.training.rows import collate

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")
TOKENS = sum(map(len, RETAIN))


def test_row_nll_is_that_of_transformers() -> None:
    model = tiny_llama()
    sums, counts = row_nll(model, FORGET, 5, full_precision)
    for index, row in enumerate(FORGET):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row]), labels=torch.tensor([row])).loss
        assert counts[index].item() == len(row) - 1
        assert sums[index].item() == pytest.approx(loss.item() * (len(row) - 1), rel=1e-5)


def test_row_nll_leaves_the_model_and_the_precision_as_they_were() -> None:
    model = with_adapter(tiny_llama(), "lora", replace(UNLEARNING, dropout=0.5), seed=0)
    wake(model)
    model.train()
    values = [row_nll(model, FORGET, 5, mixed_precision)[0] for _ in range(2)]
    assert torch.equal(*values)  # no dropout
    assert model.training and torch.is_grad_enabled()
    exact, _ = row_nll(model, FORGET, 5, full_precision)
    assert not torch.equal(values[0], exact)
    assert values[0].mean().item() == pytest.approx(exact.mean().item(), rel=0.02)


@pytest.mark.parametrize("way", ["fp32", "bf16", "autocast", "lora"])
def test_cached_states_remember_the_untrained_model(way: str, tmp_path: Path) -> None:
    """In bf16 where the head would round them to that anyway; of LoRA the model under it."""
    dtype = torch.bfloat16 if way in ("bf16", "autocast") else torch.float32
    autocast = mixed_precision if way == "autocast" else full_precision
    model: Any = tiny_llama().to(torch.bfloat16 if way == "bf16" else torch.float32)
    frozen = copy.deepcopy(model)
    if way == "lora":
        model = with_adapter(model, "lora", UNLEARNING, seed=0)
        wake(model)
    model.train()
    picked = [3, 0, 7]
    rows, file = [RETAIN[index] for index in picked], tmp_path / "a" / "reference"
    # Batches of one, so that the cache and the frozen copy below compute the same shapes.
    reference = cached_states(model, RETAIN, 1, autocast, file)
    if way != "lora":
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(1.0)
    model.eval()
    hidden, head = reference(picked, collate(rows))
    assert hidden.dtype == head.dtype == dtype
    assert not hidden.requires_grad and not head.requires_grad
    assert file.stat().st_size == dtype.itemsize * 32 * TOKENS
    for states, row in zip(hidden, rows, strict=True):
        with autocast():
            found = linear(states[: len(row)], head)
            assert torch.equal(found, logits(frozen, [row]))
            assert not torch.allclose(found, logits(model, [row]), atol=1e-2)
        assert (states[len(row) :] == 0).all()


def test_cached_states_do_not_depend_on_the_batch_nor_on_an_earlier_file(tmp_path: Path) -> None:
    model, file = tiny_llama(), tmp_path / "reference"
    file.write_bytes(b"x" * 100_000)
    one, many = (
        cached_states(model, RETAIN, size, full_precision, file)(range(10), collate(RETAIN))[0]
        for size in (1, 4)
    )
    assert torch.allclose(one, many, atol=1e-5)
    assert file.stat().st_size == 4 * 32 * TOKENS
