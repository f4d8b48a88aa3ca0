"""Objectives: their registry, and each term against values worked out by hand and torch's own."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import grad
from torch.distributions import Categorical
from torch.distributions import kl_divergence as torch_kl

from qunlearn.experiment.labels import method_name
from qunlearn.run.errors import InputError
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training import losses
from qunlearn.training.losses import mean_nll, token_nll
from qunlearn.training.objectives import Objective, Seen, objectives, terms
from qunlearn.training.terms.klr import kl_divergence, mean_kl, raw_kl
from qunlearn.training.terms.npo import elementwise_npo, npo
from qunlearn.training.terms.simnpo import simnpo

# Two rows: the first counts two of its three tokens, the second all three.
NLL = torch.tensor([[1.0, 3.0, 100.0], [2.0, 2.0, 2.0]])
MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
GENERATOR = torch.Generator().manual_seed(0)
LOGITS, BEFORE = (torch.randn(2, 3, 5, generator=GENERATOR) for _ in range(2))
IDENTITY = torch.eye(5)  # under which hidden states are the logits


def test_names_of_objectives() -> None:
    labels = {name: objective.label for name, objective in objectives().items()}
    known = {"ga": "GA", "npo": "NPO", "ga_gdr": "GA+GDR", "npo_klr": "NPO+KLR"}
    assert labels.items() >= known.items()
    kinds = [term.rows for term in terms().values()]
    assert len(labels) == kinds.count("forget") * (1 + kinds.count("retain"))


@pytest.mark.parametrize("name", ["", "gdr", "npo_", "gdr_npo", "npo_gdr_klr", "npo_gdx"])
def test_names_that_are_not_objectives(name: str) -> None:
    with pytest.raises(InputError, match=f"objective '{name}' is unknown; use one of: ga, npo"):
        Objective.parse(name)


def test_all_else_follows_from_the_modules() -> None:
    unused = {"npo_gdr": set(), "npo": {"alpha"}, "ga": {"alpha", "beta"}, "simnpo_klr": set()}
    assert {name: Objective.parse(name).unused for name in unused} == unused
    objective = Objective.parse("simnpo_klr")
    assert method_name("simnpo_klr") == "SimNPO+KLR"
    assert objective.kinds == ("nll", "kl")
    assert objective.describe().startswith(
        "The loss is gamma × SimNPO + alpha × KLR; beta is SimNPO's inverse temperature. SimNPO: F"
    )
    assert "alpha" not in Objective.parse("ga").describe()


# --- GA and GDR ------------------------------------------------------------------------------


def test_mean_nll_weighs_tokens_not_rows() -> None:
    # (1 + 3 + 5 + 5 + 5) / 5 = 3.8, against (2 + 5) / 2 = 3.5 by rows.
    nll = torch.tensor([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]])
    assert mean_nll(nll, MASK).item() == pytest.approx(3.8)


def test_gradient_ascent_is_descent_negated() -> None:
    labels = torch.tensor([[0, 1, 2], [3, 4, 0]])
    seen = Seen(LOGITS, IDENTITY, torch.ones(2, 3), partial(token_nll, LOGITS, IDENTITY, labels))
    settings = UnlearnSettings()
    ga, gdr = (terms()[name].definition("paper").loss(seen, settings) for name in ("ga", "gdr"))
    expected = F.cross_entropy(LOGITS[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    assert gdr.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(ga, -gdr)


# --- NPO and SimNPO --------------------------------------------------------------------------


def test_npo_by_hand() -> None:
    """The gradient is a weight on each row: one that is forgotten already is pushed less."""
    # Summed NLL: 4 and 6. Reference: 3 and 8. Gain: +1 and -2; times beta 0.5: 0.5 and -1.
    # -2 / 0.5 * ln sigmoid(0.5)  = 4 * ln(1 + e^-0.5) = 4 * 0.474076984 = 1.896307937
    # -2 / 0.5 * ln sigmoid(-1.0) = 4 * ln(1 + e^1.0)  = 4 * 1.313261688 = 5.253046750
    # Their mean: 3.574677344
    nll = NLL.clone().requires_grad_()
    loss = npo(nll, MASK, torch.tensor([3.0, 8.0]), beta=0.5)
    assert loss.item() == pytest.approx(3.574677344, rel=1e-6)
    # 2 sigmoid(-0.5) = 0.755081338, 2 sigmoid(1) = 1.462117157; halved by the mean over rows.
    weights = torch.tensor([[-0.377540669], [-0.731058579]])
    assert torch.allclose(grad(loss, nll)[0], weights * MASK)


@pytest.mark.parametrize("beta", [0.03, 0.1, 1.0, 5.0])
def test_npo_at_the_reference(beta: float) -> None:
    """Gain 0: -2/beta ln(1/2); d/dgain = -2 sigmoid(-beta gain) = -1 for each row's sum."""
    nll = NLL.clone().requires_grad_()
    loss = npo(nll, MASK, (NLL * MASK).sum(dim=1), beta)
    assert loss.item() == pytest.approx(2 / beta * math.log(2), rel=1e-6)
    assert torch.allclose(grad(loss, nll)[0], -MASK / 2)  # -1 a row, averaged over two rows


def test_npo_approaches_gradient_ascent_as_beta_vanishes() -> None:
    """Rows of different gain get the same gradient: that of the negated summed NLL."""
    nll = NLL.double().requires_grad_()
    reference = torch.tensor([1.0, 9.0], dtype=torch.float64)
    (limit,) = grad(npo(nll, MASK.double(), reference, beta=1e-7), nll)
    (ascent,) = grad(-mean_nll(nll, MASK.double()), nll)
    # GA divides by the 5 tokens, NPO by the 2 rows.
    assert torch.allclose(limit, ascent * 5 / 2, atol=1e-6)


def test_simnpo_by_hand_pushes_the_nll_up() -> None:
    """-2 sigmoid(-beta mean) / tokens for each token, halved by the mean over two rows."""
    # Means 2 and 3, of which beta 0.5 makes 1 and 1.5.
    # -2 / 0.5 * ln sigmoid(1.0) = 4 * ln(1 + e^-1.0) = 4 * 0.313261688 = 1.253046750
    # -2 / 0.5 * ln sigmoid(1.5) = 4 * ln(1 + e^-1.5) = 4 * 0.201413278 = 0.805653111
    # Their mean: 1.029349931
    nll = torch.tensor([[1.0, 3.0, 100.0], [2.0, 3.0, 4.0]], requires_grad=True)
    loss = simnpo(nll, MASK, beta=0.5)
    assert loss.item() == pytest.approx(1.029349931, rel=1e-6)
    # sigmoid(-1) = 0.268941421, sigmoid(-1.5) = 0.182425524
    weights = torch.tensor([[-0.268941421 / 2], [-0.182425524 / 3]])
    assert torch.allclose(grad(loss, nll)[0], weights * MASK)
    long, short = (simnpo(torch.full((1, n), 1.5), torch.ones(1, n), 2.5) for n in (64, 4))
    assert long.item() == pytest.approx(short.item(), rel=1e-6)


# --- KLR -------------------------------------------------------------------------------------


def test_kl_by_hand() -> None:
    # Reference (1/2, 1/2), model (1/4, 3/4): ln(2)/2 + ln(2/3)/2 = 0.143841036
    reference = torch.tensor([0.5, 0.5]).log()
    model = torch.tensor([0.25, 0.75]).log()
    assert kl_divergence(model, reference).item() == pytest.approx(0.143841036, rel=1e-6)
    # Forward, not reverse: KL(model || reference) = ln(1/2)/4 + 3 ln(3/2)/4 = 0.130812036
    assert kl_divergence(reference, model).item() == pytest.approx(0.130812036, rel=1e-6)
    # Adding a constant to the logits changes nothing.
    assert kl_divergence(model - 3, reference + 7).item() == pytest.approx(0.143841036, rel=1e-5)


def test_kl_is_that_of_torch_distributions_and_zero_at_the_reference() -> None:
    expected = torch_kl(Categorical(logits=BEFORE), Categorical(logits=LOGITS))
    assert torch.allclose(kl_divergence(LOGITS, BEFORE), expected, atol=1e-5)
    assert kl_divergence(LOGITS.bfloat16(), BEFORE.bfloat16()).dtype == torch.float32
    trained = BEFORE.clone().requires_grad_()
    divergence = kl_divergence(trained, BEFORE)
    assert torch.equal(divergence, torch.zeros(2, 3))
    assert grad(divergence.sum(), trained)[0].abs().max() < 1e-6


def test_mean_kl_counts_what_the_mask_counts_and_leaves_the_reference_alone() -> None:
    reference = torch.tensor([[[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]]]).log().requires_grad_()
    model = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.1, 0.9]]]).log().requires_grad_()
    head, frozen = torch.eye(2, requires_grad=True), torch.eye(2, requires_grad=True)
    loss = mean_kl(model, head, reference, frozen, torch.tensor([[1, 1, 0]]))
    # (0.143841036 + 0) / 2; the third position, far apart, is masked.
    assert loss.item() == pytest.approx(0.071920518, rel=1e-6)
    loss.backward()
    assert model.grad is not None and head.grad is not None
    assert reference.grad is None and frozen.grad is None


# --- The MUSE benchmark's own NPO and KLR, on raw logits ---------------------------------------


def test_of_muse_by_hand() -> None:
    # One position, two logits: z = (0, ln 2), z_ref = (0, 0).
    logits, before = torch.tensor([[[0.0, math.log(2)]]]), torch.zeros(1, 1, 2)
    given = logits, torch.eye(2), before, torch.eye(2), torch.ones(1, 1)
    # beta 1: -2 * mean(ln sigmoid(0), ln sigmoid(-ln 2)) = ln 2 + ln 3.
    assert elementwise_npo(*given, beta=1.0).item() == pytest.approx(math.log(6), rel=1e-6)
    # exp(0) * (0 - 0) + exp(0) * (0 - ln 2): below 0, which no KL divergence is.
    assert raw_kl(*given).item() == pytest.approx(-math.log(2), rel=1e-6)


@pytest.mark.parametrize("chunk", [1, 4, 6])
@pytest.mark.parametrize("counted", [5, 6])
def test_of_muse_against_torch(chunk: int, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the positions that count; the last is padding where five do."""
    monkeypatch.setattr(losses, "CHUNK", chunk * 5)
    logits = LOGITS.clone().requires_grad_()
    mask = (torch.arange(6) < counted).view(2, 3)
    own, before = logits[mask], BEFORE[mask]
    given = logits, IDENTITY, BEFORE, IDENTITY, mask
    pairs: list[tuple[Tensor, Tensor]] = [
        (elementwise_npo(*given, 0.5), -F.logsigmoid(0.5 * (before - own)).mean() * 2 / 0.5),
        (raw_kl(*given), F.kl_div(own, before, reduction="sum", log_target=True) / 2),
    ]
    for ours, theirs in pairs:
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
        (one,), (other,) = (grad(loss, logits, retain_graph=True) for loss in (ours, theirs))
        assert torch.allclose(one, other, atol=1e-7)
