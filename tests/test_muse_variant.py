"""The MUSE benchmark's own NPO and KLR: raw logits, by hand, against torch's, and in training."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny_models import FORGET, PAD, RETAIN, UNLEARNING, tiny_llama, weights

from qunlearn.settings.unlearning import Adapter
from qunlearn.training import chunked
from qunlearn.training.adapters import weight_dtype, with_adapter
from qunlearn.training.terms.klr import mean_kl, raw_kl
from qunlearn.training.terms.npo import elementwise_npo
from qunlearn.training.unlearn import unlearn

GENERATOR = torch.Generator().manual_seed(0)
LOGITS, BEFORE = (torch.randn(2, 3, 5, generator=GENERATOR) for _ in range(2))
IDENTITY = torch.eye(5)  # under which hidden states are the logits
ALL = torch.ones(2, 3)


def test_by_hand() -> None:
    # One position, two logits: z = (0, ln 2), z_ref = (0, 0).
    logits, before = torch.tensor([[[0.0, math.log(2)]]]), torch.zeros(1, 1, 2)
    head, mask = torch.eye(2), torch.ones(1, 1)
    # beta 1: -2 * mean(ln sigmoid(0), ln sigmoid(-ln 2)) = ln 2 + ln 3.
    value = elementwise_npo(logits, head, before, head, mask, beta=1.0)
    assert value.item() == pytest.approx(math.log(2) + math.log(3), rel=1e-6)
    # exp(0) * (0 - 0) + exp(0) * (0 - ln 2): below 0, which no KL divergence is.
    assert raw_kl(logits, head, before, head, mask).item() == pytest.approx(-math.log(2), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_against_torch(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", chunk * 5)
    logits = LOGITS.clone().requires_grad_()
    pairs = [
        (
            elementwise_npo(logits, IDENTITY, BEFORE, IDENTITY, ALL, 0.5),
            -F.logsigmoid(0.5 * (BEFORE - logits)).mean() * 2 / 0.5,
        ),
        (
            raw_kl(logits, IDENTITY, BEFORE, IDENTITY, ALL),
            F.kl_div(logits, BEFORE, reduction="batchmean", log_target=True),
        ),
    ]
    for ours, theirs in pairs:
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
        (one,), (other,) = (torch.autograd.grad(loss, logits) for loss in (ours, theirs))
        assert torch.allclose(one, other, atol=1e-7)


def test_padding_is_left_out() -> None:
    mask = ALL.clone()
    mask[1, 2] = 0
    logits, before = LOGITS.clone(), BEFORE.clone()
    logits[1, 2] = before[1, 2] = float("nan")
    term = F.logsigmoid(BEFORE - LOGITS)[mask.bool()]
    value = elementwise_npo(logits, IDENTITY, before, IDENTITY, mask, 1.0)
    assert value.item() == pytest.approx(-2 * term.mean().item(), rel=1e-6)
    total = (BEFORE.exp() * (BEFORE - LOGITS))[mask.bool()].sum()
    value = raw_kl(logits, IDENTITY, before, IDENTITY, mask)
    assert value.item() == pytest.approx(total.item() / 2, rel=1e-5)


def test_they_are_not_what_the_paper_uses() -> None:
    """A constant added to a position's logits changes no probability, but it changes these."""

    def values(logits: torch.Tensor) -> list[float]:
        given = (logits, IDENTITY, BEFORE, IDENTITY, ALL)
        found = mean_kl(*given), raw_kl(*given), elementwise_npo(*given, 1.0)
        return [value.item() for value in found]

    (kl, raw, npo), (moved_kl, moved_raw, moved_npo) = values(LOGITS), values(LOGITS + 1)
    assert moved_kl == pytest.approx(kl, rel=1e-5)
    assert abs(moved_raw - raw) > 0.1
    assert abs(moved_npo - npo) > 0.1


@pytest.mark.parametrize("adapter", ["full", "full_bf16", "lora"])
def test_training(adapter: Adapter, tmp_path: Path) -> None:
    """At the reference NPO is 2/beta ln 2 and KLR 0; then KLR falls below 0, as no KL does."""
    settings = replace(UNLEARNING, variant="muse", lr=1e-2, log_every=1, alpha=1e-3, epochs=3)
    model = with_adapter(tiny_llama().to(weight_dtype(adapter)), adapter, settings, seed=0)
    log = unlearn(model, PAD, FORGET, RETAIN, "npo_klr", adapter, settings, 0, tmp_path)
    lines = [line for line in log if "loss" in line]
    assert lines[0]["loss_forget"] == pytest.approx(2 / 0.1 * math.log(2), rel=1e-3)
    assert lines[0]["loss_retain"] == pytest.approx(0, abs=0.05)
    assert lines[-1]["loss_forget"] < lines[0]["loss_forget"]
    assert lines[-1]["loss_retain"] < -0.05


def test_micro_batches_make_the_same_update(tmp_path: Path) -> None:
    """Rows of different length: NPO's mean is over positions, KLR's over rows."""
    found = []
    for micro in (0, 1):
        settings = replace(UNLEARNING, variant="muse", autocast=False, micro_batch_size=micro)
        model = tiny_llama()
        checkpoints = tmp_path / str(micro)
        unlearn(model, PAD, FORGET, RETAIN, "npo_klr", "full", settings, 0, checkpoints)
        found.append(weights(model))
    for name, weight in found[0].items():
        assert torch.allclose(weight, found[1][name], atol=1e-5)
