"""References: the untrained model is remembered exactly."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import (
    FORGET,
    PAD,
    RETAIN,
    UNLEARNING,
    full_precision,
    logits,
    mixed_precision,
    tiny_llama,
    wake,
)
from torch import nn

from qunlearn.training.adapters import with_adapter
from qunlearn.training.reference import CachedStates, row_nll
from qunlearn.training.rows import collate

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


def test_row_nll_is_that_of_transformers() -> None:
    model = tiny_llama()
    sums, counts = row_nll(model, FORGET, PAD, 5, full_precision)
    for index, row in enumerate(FORGET):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row]), labels=torch.tensor([row])).loss
        assert counts[index].item() == len(row) - 1
        assert sums[index].item() == pytest.approx(loss.item() * (len(row) - 1), rel=1e-5)


def test_row_nll_leaves_the_model_and_the_precision_as_they_were() -> None:
    model = with_adapter(tiny_llama(), "lora", replace(UNLEARNING, dropout=0.5), seed=0)
    wake(model)
    model.train()
    values = [row_nll(model, FORGET, PAD, 5, mixed_precision)[0] for _ in range(2)]
    assert torch.equal(*values)  # no dropout
    assert model.training
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    exact, _ = row_nll(model, FORGET, PAD, 5, full_precision)
    assert not torch.equal(values[0], exact)
    assert values[0].mean().item() == pytest.approx(exact.mean().item(), rel=0.02)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cached_states_remember_the_untrained_model(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_llama().to(dtype)
    frozen = copy.deepcopy(model)
    picked = [3, 0, 7]
    rows = [RETAIN[index] for index in picked]
    # Batches of one, so that the cache and the frozen copy below compute the same shapes.
    reference = CachedStates(model, RETAIN, PAD, 1, full_precision, tmp_path / "a" / "reference")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    batch = collate(rows, PAD)
    hidden = reference.hidden(picked, batch)
    found = nn.functional.linear(hidden, reference.head)
    assert hidden.dtype == dtype
    for position, row in enumerate(rows):
        assert torch.equal(found[position, : len(row)], logits(frozen, [row]))
        assert not torch.allclose(found[position, : len(row)], logits(model, [row]), atol=1e-2)
        assert (hidden[position, len(row) :] == 0).all()
    assert (tmp_path / "a" / "reference").stat().st_size == dtype.itemsize * 32 * sum(
        map(len, RETAIN)
    )


def test_cached_states_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    model = tiny_llama()
    batch = collate(RETAIN, PAD)
    one, many = (
        CachedStates(model, RETAIN, PAD, size, full_precision, tmp_path / f"{size}").hidden(
            range(len(RETAIN)), batch
        )
        for size in (1, 4)
    )
    assert torch.allclose(one, many, atol=1e-5)


def test_states_kept_in_bf16_give_the_same_logits(tmp_path: Path) -> None:
    """Under autocast the head would round them to bf16 anyway: nothing is lost by half the file."""
    model = tiny_llama()
    reference = CachedStates(model, RETAIN, PAD, 1, mixed_precision, tmp_path / "reference")
    hidden = reference.hidden([2], collate(RETAIN[2:3], PAD))
    assert hidden.dtype == reference.head.dtype == torch.bfloat16
    assert (tmp_path / "reference").stat().st_size == 2 * 32 * sum(map(len, RETAIN))
    with mixed_precision():
        assert torch.equal(
            nn.functional.linear(hidden, reference.head)[0], logits(model, [RETAIN[2]])
        )


def test_the_reference_of_an_adapted_model_is_the_untrained_one(tmp_path: Path) -> None:
    model = tiny_llama()
    frozen = copy.deepcopy(model).eval()
    adapted = with_adapter(model, "lora", UNLEARNING, seed=0)
    wake(adapted)
    adapted.train()
    reference = CachedStates(adapted, RETAIN, PAD, 1, full_precision, tmp_path / "reference")
    hidden = reference.hidden(range(4), collate(RETAIN[:4], PAD))
    assert not hidden.requires_grad
    assert not reference.head.requires_grad
    for position, row in enumerate(RETAIN[:4]):
        found = nn.functional.linear(hidden[position, : len(row)], reference.head)
        assert torch.equal(found, logits(frozen, [row]))
        adapted.eval()  # and switched on again afterwards
        assert not torch.allclose(logits(adapted, [row]), found, atol=1e-2)


def test_a_file_of_an_earlier_run_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "reference"
    file.write_bytes(b"x" * 100_000)
    CachedStates(tiny_llama(), RETAIN, PAD, 4, full_precision, file)
    assert file.stat().st_size == 4 * 32 * sum(map(len, RETAIN))
