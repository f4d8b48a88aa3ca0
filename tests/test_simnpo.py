"""SimNPO: by hand, its gradient, its push, and all that follows from its module alone."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import FORGET, PAD, RETAIN, UNLEARNING, tiny_llama

from qunlearn.experiment.labels import method_name
from qunlearn.training.objectives import Objective
from qunlearn.training.terms.simnpo import simnpo
from qunlearn.training.unlearn import unlearn

# Two rows: the first counts two of its three tokens, the second all three; means 2 and 3.
NLL = torch.tensor([[1.0, 3.0, 100.0], [2.0, 3.0, 4.0]])
MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])


def test_by_hand() -> None:
    # Beta 0.5 makes 1 and 1.5 of the means.
    # -2 / 0.5 * ln sigmoid(1.0) = 4 * ln(1 + e^-1.0) = 4 * 0.313261688 = 1.253046750
    # -2 / 0.5 * ln sigmoid(1.5) = 4 * ln(1 + e^-1.5) = 4 * 0.201413278 = 0.805653111
    # Their mean: 1.029349931
    assert simnpo(NLL, MASK, beta=0.5).item() == pytest.approx(1.029349931, rel=1e-6)


def test_gradient_by_hand_pushes_the_nll_up() -> None:
    """-2 sigmoid(-beta mean) / tokens for each token, halved by the mean over two rows."""
    nll = NLL.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(simnpo(nll, MASK, beta=0.5), nll)
    # sigmoid(-1) = 0.268941421, sigmoid(-1.5) = 0.182425524
    assert torch.allclose(gradient[0], -0.268941421 / 2 * MASK[0])
    assert torch.allclose(gradient[1], -0.182425524 / 3 * MASK[1])


def test_a_forgotten_row_is_left_alone_and_length_does_not_count() -> None:
    nll = torch.full((1, 4), 400.0, requires_grad=True)
    loss = simnpo(nll, torch.ones(1, 4), beta=2.5)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert torch.autograd.grad(loss, nll)[0].abs().max().item() == pytest.approx(0.0, abs=1e-6)
    long, short = (simnpo(torch.full((1, n), 1.5), torch.ones(1, n), 2.5) for n in (64, 4))
    assert long.item() == pytest.approx(short.item(), rel=1e-6)


def test_training_forgets(tmp_path: Path) -> None:
    """At a low beta: to an untrained model, whose NLL is 5, the rows are forgotten at 2.5."""
    settings = replace(UNLEARNING, beta=0.1, lr=5e-3, epochs=4)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "simnpo_gdr", "full", settings, 0, tmp_path)
    first, *_, last = [line["nll_forget"] for line in log if "nll_forget" in line]
    assert last > first + 0.3


def test_micro_batches_make_the_same_update(tmp_path: Path) -> None:
    """Rows differ in length: the mean over an update is over rows, not over tokens."""
    found = []
    for micro in (0, 1):
        settings = replace(UNLEARNING, autocast=False, beta=2.5, micro_batch_size=micro, epochs=1)
        folder = tmp_path / str(micro)
        found.append(
            unlearn(tiny_llama(), PAD, FORGET, RETAIN, "simnpo", "full", settings, 0, folder)
        )
    for line, other in zip(*found, strict=True):
        assert line == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_all_else_follows_from_its_module() -> None:
    objective = Objective.parse("simnpo_klr")
    assert method_name("simnpo_klr") == "SimNPO+KLR"
    assert objective.kinds == ("nll", "kl")
    assert {objective.forget.definition(name).reference for name in ("paper", "muse")} == {""}
    assert objective.unused == set()
    assert "beta is SimNPO's inverse temperature. SimNPO: Fan et al. 2024" in objective.describe()
    assert Objective.parse("ga_gdr").unused == {"beta"}
