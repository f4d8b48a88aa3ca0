"""Objectives: their registry, each term by hand and against torch, and the same in chunks."""

import math
from typing import Any

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
from qunlearn.training.losses import product_dtype, token_nll
from qunlearn.training.objectives import Objective, Seen, objectives, terms
from qunlearn.training.rows import IGNORED
from qunlearn.training.terms.klr import kl_divergence
from qunlearn.training.unlearn import see

# Two rows: the first counts two of its three tokens, the second all three.
NLL = torch.tensor([[1.0, 3.0, 100.0], [2.0, 2.0, 2.0]])
MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
GENERATOR = torch.Generator().manual_seed(0)
LOGITS, BEFORE = (torch.randn(2, 3, 5, generator=GENERATOR) for _ in range(2))


def told(nll: Tensor, *reference: Tensor) -> Seen:
    """Two rows of known NLL."""
    mask = MASK.to(nll.dtype)

    def token_nll(summed: bool = False) -> tuple[Tensor, Tensor]:
        return ((nll * mask).sum() if summed else nll), mask

    return Seen(mask, token_nll, lambda formula: nll.sum(), reference)


def compared(logits: Tensor, before: Tensor, mask: Tensor) -> Seen:
    """Of a model and a reference whose hidden states are their logits."""
    head = torch.eye(logits.shape[-1])
    batch = {"attention_mask": mask, "labels": torch.zeros(mask.shape, dtype=torch.long)}
    return see(logits, head, batch, (before, head))


def loss(name: str, seen: Seen, variant: Any = "paper", **settings: float) -> Tensor:
    return terms()[name].definition(variant).loss(seen, UnlearnSettings(**settings))


def test_names_labels_and_settings_follow_from_the_modules() -> None:
    labels = {name: objective.label for name, objective in objectives().items()}
    known = {"ga": "GA", "npo": "NPO", "ga_gdr": "GA+GDR", "npo_klr": "NPO+KLR"}
    assert labels.items() >= known.items()
    for name in ("", "gdr", "npo_", "gdr_npo", "npo_gdr_klr"):
        with pytest.raises(InputError, match=f"objective '{name}' is unknown; use one of: ga, npo"):
            Objective.parse(name)
    unused = {"npo_gdr": set(), "npo": {"alpha"}, "ga": {"alpha", "beta"}, "simnpo_klr": set()}
    assert {name: Objective.parse(name).unused for name in unused} == unused
    objective = Objective.parse("simnpo_klr")
    assert (method_name("simnpo_klr"), objective.kinds) == ("SimNPO+KLR", ("nll", "kl"))
    assert objective.describe().startswith(
        "The loss is gamma × SimNPO + alpha × KLR; beta is SimNPO's inverse temperature. SimNPO: F"
    )


# --- By hand -----------------------------------------------------------------------------------


def test_mean_nll_weighs_tokens_not_rows_and_ascent_is_descent_negated() -> None:
    # (1 + 3 + 5 + 5 + 5) / 5 = 3.8, against (2 + 5) / 2 = 3.5 by rows.
    nll = torch.tensor([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]])
    assert loss("gdr", told(nll)).item() == pytest.approx(3.8)
    assert loss("ga", told(nll)).item() == pytest.approx(-3.8)


def test_npo_by_hand() -> None:
    """The gradient is a weight on each row: one that is forgotten already is pushed less."""
    # Summed NLL: 4 and 6. Reference: 3 and 8. Gain: +1 and -2; times beta 0.5: 0.5 and -1.
    # -2 / 0.5 * ln sigmoid(0.5)  = 4 * ln(1 + e^-0.5) = 4 * 0.474076984 = 1.896307937
    # -2 / 0.5 * ln sigmoid(-1.0) = 4 * ln(1 + e^1.0)  = 4 * 1.313261688 = 5.253046750
    # Their mean: 3.574677344
    nll = NLL.clone().requires_grad_()
    found = loss("npo", told(nll, torch.tensor([3.0, 8.0])), beta=0.5)
    assert found.item() == pytest.approx(3.574677344, rel=1e-6)
    # 2 sigmoid(-0.5) = 0.755081338, 2 sigmoid(1) = 1.462117157; halved by the mean over rows.
    weights = torch.tensor([[-0.377540669], [-0.731058579]])
    assert torch.allclose(grad(found, nll)[0], weights * MASK)


@pytest.mark.parametrize("beta", [1e-7, 0.03, 5.0])
def test_npo_at_the_reference(beta: float) -> None:
    """Gain 0: -2/beta ln(1/2); d/dgain = -2 sigmoid(-beta gain) = -1 for each row's sum, as of
    gradient ascent: so it is at any gain as beta vanishes."""
    nll = NLL.double().requires_grad_()
    gain = torch.tensor([3.0, -3.0]) if beta < 1e-6 else 0.0
    found = loss("npo", told(nll, (NLL * MASK).sum(dim=1) - gain), beta=beta)
    assert found.item() == pytest.approx(2 / beta * math.log(2), rel=1e-6)
    (gradient,) = grad(found, nll)
    assert torch.allclose(gradient, -MASK.double() / 2, atol=1e-6)  # averaged over two rows


def test_simnpo_by_hand_pushes_the_nll_up() -> None:
    """-2 sigmoid(-beta mean) / tokens for each token, halved by the mean over two rows."""
    # Means 2 and 3, of which beta 0.5 makes 1 and 1.5.
    # -2 / 0.5 * ln sigmoid(1.0) = 4 * ln(1 + e^-1.0) = 4 * 0.313261688 = 1.253046750
    # -2 / 0.5 * ln sigmoid(1.5) = 4 * ln(1 + e^-1.5) = 4 * 0.201413278 = 0.805653111
    # Their mean: 1.029349931
    nll = torch.tensor([[1.0, 3.0, 100.0], [2.0, 3.0, 4.0]], requires_grad=True)
    found = loss("simnpo", told(nll), beta=0.5)
    assert found.item() == pytest.approx(1.029349931, rel=1e-6)
    # sigmoid(-1) = 0.268941421, sigmoid(-1.5) = 0.182425524
    weights = torch.tensor([[-0.268941421 / 2], [-0.182425524 / 3]])
    assert torch.allclose(grad(found, nll)[0], weights * MASK)


def test_kl_is_that_of_torch_distributions_and_zero_at_the_reference() -> None:
    """KL(reference || model), forward."""
    expected = torch_kl(Categorical(logits=BEFORE), Categorical(logits=LOGITS))
    assert torch.allclose(kl_divergence(LOGITS, BEFORE), expected, atol=1e-5)
    assert kl_divergence(LOGITS.bfloat16(), BEFORE.bfloat16()).dtype == torch.float32
    trained = BEFORE.clone().requires_grad_()
    divergence = kl_divergence(trained, BEFORE)
    assert torch.equal(divergence, torch.zeros(2, 3))
    assert grad(divergence.sum(), trained)[0].abs().max() < 1e-6


def test_klr_counts_what_the_mask_counts_and_leaves_the_reference_alone() -> None:
    reference = torch.tensor([[[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]]]).log().requires_grad_()
    model = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.1, 0.9]]]).log().requires_grad_()
    found = loss("klr", compared(model, reference, torch.tensor([[1, 1, 0]])))
    # (0.143841036 + 0) / 2; the third position, far apart, is masked.
    assert found.item() == pytest.approx(0.071920518, rel=1e-6)
    found.backward()
    assert model.grad is not None and reference.grad is None


@pytest.mark.parametrize("chunk", [1, 4, 6])
@pytest.mark.parametrize("counted", [5, 6])
def test_of_muse_against_torch(chunk: int, counted: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the positions that count; the last is padding where five do."""
    in_chunks_of(chunk, monkeypatch, 5, whole=6)
    logits = LOGITS.clone().requires_grad_()
    mask = (torch.arange(6) < counted).view(2, 3)
    own, before = logits[mask], BEFORE[mask]
    seen = compared(logits, BEFORE, mask)
    for name, theirs in {
        "npo": -F.logsigmoid(0.5 * (before - own)).mean() * 2 / 0.5,
        "klr": F.kl_div(own, before, reduction="sum", log_target=True) / 2,
    }.items():
        ours = loss(name, seen, "muse", beta=0.5)
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
        (one,), (other,) = (grad(each, logits, retain_graph=True) for each in (ours, theirs))
        assert torch.allclose(one, other, atol=1e-7)


# --- In chunks of positions --------------------------------------------------------------------

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
    batch = {"labels": given["labels"], "attention_mask": given["labels"] != IGNORED}
    # Gains of both signs, so that each row has a weight of its own.
    references = (torch.tensor([10.0, 40.0, 90.0]),), (given["reference"], given["frozen"])
    forget, retain = (see(given["hidden"], given["head"], batch, known) for known in references)
    parts = [loss("npo", forget), forget.mean_nll(), 3 * loss("klr", retain)]
    gradients = [each for part in parts for each in grad(part, of, retain_graph=True)]
    return [tensor.detach() for tensor in (*forget.token_nll(), *parts, *gradients)]


def in_chunks_of(
    positions: int, monkeypatch: pytest.MonkeyPatch, vocabulary: int = VOCABULARY, whole: int = 33
) -> None:
    """With the formula applied to half a chunk at a time; all at once if that is `whole`."""
    monkeypatch.setattr(losses, "WHOLE", whole * vocabulary * (positions == whole))
    monkeypatch.setattr(losses, "CHUNK", positions * vocabulary)
    monkeypatch.setattr(losses, "PIECE", positions * vocabulary // 2)


@pytest.mark.parametrize("trained", [["hidden", "head"], ["hidden"]])
@pytest.mark.parametrize("chunk", [1, 7, 16])
def test_chunks_change_neither_value_nor_gradient(
    chunk: int, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """States that do not count may be anything, and the logits are not kept for backward."""
    given = problem()
    of = [given[name].requires_grad_() for name in trained]
    whole, kept = found(given, *of), []
    in_chunks_of(chunk, monkeypatch)
    with torch.no_grad():
        given["hidden"][1, 6:] = given["reference"][1, 6:] = float("nan")

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        chunked = found(given, *of)
    for one, other in zip(whole, chunked, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert torch.allclose(one, other, atol=1e-5)
    assert max(kept) <= 3 * 11 * 8 < 3 * 11 * VOCABULARY


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


def test_token_nll_by_hand() -> None:
    # Logits of the first two positions: (0, ln 3) -> (1/4, 3/4), and (0, 0) -> (1/2, 1/2).
    hidden = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [5.0, -5.0]]])
    nll, mask = token_nll(hidden, torch.eye(2), torch.tensor([[1, 0, 1]]))
    # The first token is given; then p(0) = 1/4 and p(1) = 1/2.
    assert nll.tolist() == [pytest.approx([math.log(4), math.log(2)], rel=1e-6)]
    assert mask.tolist() == [[1.0, 1.0]]
