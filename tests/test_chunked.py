"""Losses in chunks: values and gradients are those from all logits at once, which are not held."""

import pytest
import torch
from torch import Tensor

from qunlearn.training import chunked
from qunlearn.training.chunked import chunk_length, product_dtype
from qunlearn.training.losses import mean_nll, token_nll
from qunlearn.training.rows import IGNORED
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


def losses(given: dict[str, Tensor], *of: Tensor) -> list[Tensor]:
    """NLL, NPO, GDR, KLR and the gradients in `of` of the last three, KLR weighted by 3."""
    nll, mask = token_nll(given["hidden"], given["head"], given["labels"])
    counted = given["labels"] != IGNORED
    kl = mean_kl(given["hidden"], given["head"], given["reference"], given["frozen"], counted)
    # Gains of both signs, so that each row has a weight of its own.
    terms = [npo(nll, mask, torch.tensor([10.0, 40.0, 90.0]), 0.1), mean_nll(nll, mask), 3 * kl]
    found = [nll, mask, *terms]
    for term in terms:
        found += torch.autograd.grad(term, of, retain_graph=True)
    return [tensor.detach() for tensor in found]


def in_chunks_of(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", positions * VOCABULARY)


@pytest.mark.parametrize("trained", [["hidden", "head"], ["hidden"], ["head"]])
@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_chunks_change_neither_value_nor_gradient(
    chunk: int, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = problem()
    of = [given[name].requires_grad_() for name in trained]
    whole = losses(given, *of)
    in_chunks_of(chunk, monkeypatch)
    for one, other in zip(whole, losses(given, *of), strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        assert torch.allclose(one, other, atol=1e-5)


def test_chunks_under_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Products in bf16, as a linear layer's; the rest in fp32: near the exact gradients."""
    given = problem()
    of = [given[name].requires_grad_() for name in ("hidden", "head")]
    exact = losses(given, *of)
    in_chunks_of(7, monkeypatch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert product_dtype(given["hidden"]) == torch.bfloat16
        mixed = losses(given, *of)
    assert product_dtype(given["hidden"]) == torch.float32
    for one, other in zip(exact, mixed, strict=True):
        assert other.dtype == torch.float32
        assert (one - other).norm() <= 0.02 * one.norm()
    assert not torch.equal(exact[0], mixed[0])


def test_weights_kept_in_bf16_get_gradients_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    given = problem(torch.bfloat16)
    of = [given[name].requires_grad_() for name in ("hidden", "head")]
    whole = losses(given, *of)
    in_chunks_of(7, monkeypatch)
    for one, other in zip(whole, losses(given, *of), strict=True):
        assert one.dtype == other.dtype
        assert (one - other).float().norm() <= 0.02 * one.float().norm()


def test_the_mini_experiment_fits_one_chunk() -> None:
    """32 rows of 66 predictions: its numbers do not depend on chunks."""
    assert chunk_length(1024) >= 32 * 66
    assert chunk_length(32_000) * 32_000 * 4 <= 32 * 2**20
    assert chunk_length(10**9) == 1


@pytest.mark.parametrize("trains_head", [False, True])
def test_logits_are_not_held(trains_head: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saved for backward: nothing of the size tokens * vocabulary."""
    monkeypatch.setattr(chunked, "CHUNK", 4000)
    hidden, reference = (torch.randn(2, 9, 8).requires_grad_(own) for own in (True, False))
    head = torch.randn(1000, 8, requires_grad=trains_head)
    saved: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        token_nll(hidden, head, torch.randint(1000, (2, 9)))
        mean_kl(hidden, head, reference, head.detach(), torch.ones(2, 9))
    assert max(saved) <= (head.numel() if trains_head else hidden.numel())


def test_ignored_positions_are_not_multiplied(monkeypatch: pytest.MonkeyPatch) -> None:
    """States that do not count may be anything."""
    in_chunks_of(4, monkeypatch)
    given = problem()
    given["hidden"][1, 6:] = float("nan")
    given["reference"][1, 6:] = float("nan")
    of = [given[name].requires_grad_() for name in ("hidden", "head")]
    # The state before the first ignored label predicts it: its NLL is ignored as well.
    for found in losses(given, *of):
        assert torch.isfinite(found).all()
