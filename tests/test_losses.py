"""Losses over the vocabulary: by hand, against transformers, and the same in chunks as whole."""

import math

import pytest
import torch
from tiny_models import FORGET, tiny_llama
from torch import Tensor

from qunlearn.training import losses
from qunlearn.training.losses import head_weight, hidden_states, mean_nll, product_dtype, token_nll
from qunlearn.training.rows import IGNORED, collate
from qunlearn.training.terms.klr import mean_kl
from qunlearn.training.terms.npo import npo

VOCABULARY = 23


def problem(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Three rows of 11 tokens, of which the second is padded, and a reference."""
    generator = torch.Generator().manual_seed(0)
    hidden, reference = (torch.randn(3, 11, 8, generator=generator) for _ in range(2))
    head, frozen = (torch.randn(VOCABULARY, 8, generator=generator) for _ in range(2))
    labels = torch.randint(VOCABULARY, (3, 11), generator=generator)
    labels[1, 6:] = IGNORED
    made = {"hidden": hidden, "reference": reference, "head": head, "frozen": frozen}
    return {name: tensor.to(dtype) for name, tensor in made.items()} | {"labels": labels}


def found(given: dict[str, Tensor], *of: Tensor) -> list[Tensor]:
    """NLL, NPO, GDR, KLR and the gradients in `of` of the last three, KLR weighted by 3."""
    nll, mask = token_nll(given["hidden"], given["head"], given["labels"])
    counted = given["labels"] != IGNORED
    kl = mean_kl(given["hidden"], given["head"], given["reference"], given["frozen"], counted)
    # Gains of both signs, so that each row has a weight of its own.
    terms = [npo(nll, mask, torch.tensor([10.0, 40.0, 90.0]), 0.1), mean_nll(nll, mask), 3 * kl]
    gradients = [torch.autograd.grad(term, of, retain_graph=True) for term in terms]
    every = [nll, mask, *terms, *(each for of_term in gradients for each in of_term)]
    return [tensor.detach() for tensor in every]


def in_chunks_of(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", positions * VOCABULARY)


@pytest.mark.parametrize("trained", [["hidden", "head"], ["hidden"]])
@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_chunks_change_neither_value_nor_gradient(
    chunk: int, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem()
    of = [given[name].requires_grad_() for name in trained]
    whole = found(given, *of)
    in_chunks_of(chunk, monkeypatch)
    for one, other in zip(whole, found(given, *of), strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert torch.allclose(one, other, atol=1e-5)


def test_chunks_under_autocast_and_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in bf16, as a linear layer's; the rest in fp32: near the exact gradients."""
    given, narrow = problem(), problem(torch.bfloat16)
    of, of_narrow = (
        [each[name].requires_grad_() for name in ("hidden", "head")] for each in (given, narrow)
    )
    exact = found(given, *of)
    in_chunks_of(7, monkeypatch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product_dtype(given["hidden"]) == torch.bfloat16
        mixed = found(given, *of)
    for one, other, in_bf16 in zip(exact, mixed, found(narrow, *of_narrow), strict=True):
        assert other.dtype == torch.float32
        assert (one - other).norm() <= 0.02 * one.norm()
        assert (one - in_bf16.float()).norm() <= 0.03 * one.norm()
    assert not torch.equal(exact[0], mixed[0])


@pytest.mark.parametrize("trains_head", [False, True])
def test_logits_are_not_held(trains_head: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved for backward: nothing of the size tokens * vocabulary."""
    monkeypatch.setattr(losses, "CHUNK", 4000)
    hidden, reference = (torch.randn(2, 9, 8).requires_grad_(own) for own in (True, False))
    head = torch.randn(1000, 8, requires_grad=trains_head)
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        token_nll(hidden, head, torch.randint(1000, (2, 9)))
        mean_kl(hidden, head, reference, head.detach(), torch.ones(2, 9))
    assert max(saved) <= head.numel() < 18 * 1000


def test_ignored_positions_are_not_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks, states that do not count may be anything."""
    in_chunks_of(4, monkeypatch)
    given = problem()
    given["hidden"][1, 6:] = given["reference"][1, 6:] = float("nan")
    of = [given[name].requires_grad_() for name in ("hidden", "head")]
    assert all(torch.isfinite(each).all() for each in found(given, *of))


def test_the_mini_experiment_fits_one_chunk() -> None:
    """32 rows of 66 predictions: its numbers do not depend on chunks, which are 16 MiB."""
    assert 32 * 66 * 1024 <= losses.CHUNK == 16 * 2**20 // 4


def test_token_nll_by_hand() -> None:
    # Logits of the first two positions: (0, ln 3) -> (1/4, 3/4), and (0, 0) -> (1/2, 1/2).
    hidden = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [5.0, -5.0]]])
    nll, mask = token_nll(hidden, torch.eye(2), torch.tensor([[1, 0, 1]]))
    # The first token is given; then p(0) = 1/4 and p(1) = 1/2.
    assert nll.tolist() == [pytest.approx([math.log(4), math.log(2)], rel=1e-6)]
    assert mask.tolist() == [[1.0, 1.0]]


def test_token_nll_is_the_loss_of_transformers() -> None:
    model, batch = tiny_llama(), collate([FORGET[0], FORGET[0][::-1]])
    with torch.no_grad():
        nll, mask = token_nll(hidden_states(model, batch), head_weight(model), batch["labels"])
        assert mean_nll(nll, mask).item() == pytest.approx(model(**batch).loss.item(), rel=1e-6)


def test_padding_has_no_effect() -> None:
    """Rows of different length in one batch, and each row by itself."""
    model = tiny_llama()
    together = token_nll_of(model, FORGET)
    for row, (nll, mask) in zip(FORGET, zip(*together, strict=True), strict=True):
        assert mask.sum() == len(row) - 1
        assert (nll[mask == 0] == 0).all()
        (alone,), _ = token_nll_of(model, [row])
        assert torch.allclose(alone, nll[: len(row) - 1], atol=1e-5)


def token_nll_of(model: torch.nn.Module, rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    batch = collate(rows)
    with torch.no_grad():
        return token_nll(hidden_states(model, batch), head_weight(model), batch["labels"])
