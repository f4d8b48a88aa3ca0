"""The terms of the unlearning loss, against values worked out by hand and torch's own."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical
from torch.distributions import kl_divergence as torch_kl
from transformers import LlamaConfig, LlamaForCausalLM

from qunlearn.run.errors import InputError
from qunlearn.training.losses import head_weight, hidden_states, mean_nll, token_nll
from qunlearn.training.objectives import Objective, objectives, terms
from qunlearn.training.rows import collate
from qunlearn.training.terms.ga import gradient_ascent
from qunlearn.training.terms.klr import kl_divergence, mean_kl
from qunlearn.training.terms.npo import npo

# Two rows: the first counts two of its three tokens, the second all three.
NLL = torch.tensor([[1.0, 3.0, 100.0], [2.0, 2.0, 2.0]])
MASK = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
LN2 = 0.6931471805599453


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=50,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
            tie_word_embeddings=False,
        )
    ).eval()


def random_rows(*lengths: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(50, (length,), generator=generator).tolist() for length in lengths]


def gradients(loss: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, of)


def test_names_of_objectives() -> None:
    labels = {name: objective.label for name, objective in objectives().items()}
    known = {"ga": "GA", "npo": "NPO", "ga_gdr": "GA+GDR", "npo_klr": "NPO+KLR"}
    assert labels.items() >= known.items()
    forget, retain = (
        [name for name, term in terms().items() if term.rows == rows]
        for rows in ("forget", "retain")
    )
    assert len(labels) == len(forget) * (1 + len(retain))


@pytest.mark.parametrize("name", ["", "gdr", "npo_", "gdr_npo", "npo_gdr_klr", "npo_gdx"])
def test_names_that_are_not_objectives(name: str) -> None:
    with pytest.raises(InputError, match=f"objective '{name}' is unknown; use one of: ga, npo"):
        Objective.parse(name)


def test_settings_that_do_nothing_under_an_objective() -> None:
    assert Objective.parse("npo_gdr").unused == set()
    assert Objective.parse("npo").unused == {"alpha"}
    assert Objective.parse("ga").unused == {"alpha", "beta"}


def test_the_card_says_which_loss_and_where_it_is_from() -> None:
    told = Objective.parse("npo_gdr").describe()
    assert told.startswith(
        "The loss is gamma × NPO + alpha × GDR; beta is NPO's inverse temperature. NPO: Zhang"
    )
    assert "alpha" not in Objective.parse("ga").describe()


# --- GDR and GA ------------------------------------------------------------------------------


def test_mean_nll_weighs_tokens_not_rows() -> None:
    # (1 + 3 + 2 + 2 + 2) / 5; a mean of row means would be 2 too, hence the second check.
    assert mean_nll(NLL, MASK).item() == pytest.approx(2.0)
    # (1 + 3 + 5 + 5 + 5) / 5 = 3.8, against (2 + 5) / 2 = 3.5 by rows.
    longer = torch.tensor([[1.0, 3.0, 100.0], [5.0, 5.0, 5.0]])
    assert mean_nll(longer, MASK).item() == pytest.approx(3.8)


def test_gradient_ascent_is_the_negated_mean() -> None:
    nll = NLL.clone().requires_grad_()
    loss = gradient_ascent(nll, MASK)
    assert loss.item() == pytest.approx(-2.0)
    (gradient,) = gradients(loss, nll)
    assert torch.allclose(gradient, torch.tensor([[-0.2, -0.2, 0.0], [-0.2, -0.2, -0.2]]))


# --- NPO -------------------------------------------------------------------------------------


def test_npo_by_hand() -> None:
    # Summed NLL: 4 and 6. Reference: 3 and 8. Gain: +1 and -2; times beta 0.5: 0.5 and -1.
    # -2 / 0.5 * ln sigmoid(0.5)  = 4 * ln(1 + e^-0.5) = 4 * 0.474076984 = 1.896307937
    # -2 / 0.5 * ln sigmoid(-1.0) = 4 * ln(1 + e^1.0)  = 4 * 1.313261688 = 5.253046750
    # Their mean: 3.574677344
    value = npo(NLL, MASK, torch.tensor([3.0, 8.0]), beta=0.5)
    assert value.item() == pytest.approx(3.574677344, rel=1e-6)


@pytest.mark.parametrize("beta", [0.03, 0.1, 1.0, 5.0])
def test_npo_at_the_reference(beta: float) -> None:
    """Gain 0: -2/beta ln(1/2); d/dgain = -2 sigmoid(-beta gain) = -1 for each row's sum."""
    nll = NLL.clone().requires_grad_()
    loss = npo(nll, MASK, (NLL * MASK).sum(dim=1), beta)
    assert loss.item() == pytest.approx(2 / beta * LN2, rel=1e-6)
    (gradient,) = gradients(loss, nll)
    assert torch.allclose(gradient, -MASK / 2)  # -1 a row, averaged over two rows


def test_npo_gradient_is_a_weight_on_each_row() -> None:
    """-2 sigmoid(-beta gain): a row that is forgotten already is pushed less."""
    nll = NLL.clone().requires_grad_()
    (gradient,) = gradients(npo(nll, MASK, torch.tensor([3.0, 8.0]), beta=0.5), nll)
    # 2 sigmoid(-0.5) = 0.755081338, 2 sigmoid(1) = 1.462117157; halved by the mean over rows.
    assert torch.allclose(gradient[0], -0.377540669 * MASK[0])
    assert torch.allclose(gradient[1], -0.731058579 * MASK[1])


def test_npo_approaches_gradient_ascent_as_beta_vanishes() -> None:
    """Rows of different gain get the same gradient: that of the negated summed NLL."""
    nll = NLL.double().requires_grad_()
    reference = torch.tensor([1.0, 9.0], dtype=torch.float64)
    (limit,) = gradients(npo(nll, MASK.double(), reference, beta=1e-7), nll)
    (ascent,) = gradients(gradient_ascent(nll, MASK.double()), nll)
    # GA divides by the 5 tokens, NPO by the 2 rows.
    assert torch.allclose(limit, ascent * 5 / 2, atol=1e-6)


def test_npo_fades_once_a_row_is_forgotten() -> None:
    nll = torch.tensor([[1000.0]], requires_grad=True)
    loss = npo(nll, torch.ones(1, 1), torch.zeros(1), beta=0.1)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    assert gradients(loss, nll)[0].item() == pytest.approx(0.0, abs=1e-6)


# --- KLR -------------------------------------------------------------------------------------


def test_kl_by_hand() -> None:
    # Reference (1/2, 1/2), model (1/4, 3/4): ln(2)/2 + ln(2/3)/2 = 0.143841036
    reference = torch.tensor([0.5, 0.5]).log()
    model = torch.tensor([0.25, 0.75]).log()
    assert kl_divergence(reference, model).item() == pytest.approx(0.143841036, rel=1e-6)
    # Forward, not reverse: KL(model || reference) = ln(1/2)/4 + 3 ln(3/2)/4 = 0.130812036
    assert kl_divergence(model, reference).item() == pytest.approx(0.130812036, rel=1e-6)
    # Adding a constant to the logits changes nothing.
    assert kl_divergence(reference + 7, model - 3).item() == pytest.approx(0.143841036, rel=1e-5)


def test_kl_is_zero_for_equal_logits() -> None:
    logits = torch.randn(3, 5, 11, generator=torch.Generator().manual_seed(0))
    trained = logits.clone().requires_grad_()
    divergence = kl_divergence(logits, trained)
    assert torch.equal(divergence, torch.zeros(3, 5))
    assert gradients(divergence.sum(), trained)[0].abs().max() < 1e-6


def test_kl_is_that_of_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    reference, model = (3 * torch.randn(2, 4, 13, generator=generator) for _ in range(2))
    expected = torch_kl(Categorical(logits=reference), Categorical(logits=model))
    assert torch.allclose(kl_divergence(reference, model), expected, atol=1e-5)
    assert kl_divergence(reference.bfloat16(), model.bfloat16()).dtype == torch.float32


def test_mean_kl_counts_what_the_mask_counts() -> None:
    """With an identity head the hidden states are the logits."""
    reference = torch.tensor([[[0.5, 0.5], [0.5, 0.5], [0.9, 0.1]]]).log()
    model = torch.tensor([[[0.25, 0.75], [0.5, 0.5], [0.1, 0.9]]]).log()
    head = torch.eye(2)
    mask = torch.tensor([[1, 1, 0]])
    # (0.143841036 + 0) / 2; the third position, far apart, is masked.
    assert mean_kl(model, head, reference, head, mask).item() == pytest.approx(
        0.071920518, rel=1e-6
    )


def test_mean_kl_leaves_the_reference_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, reference = (torch.randn(2, 3, 8, generator=generator) for _ in range(2))
    head, frozen = (torch.randn(11, 8, generator=generator) for _ in range(2))
    for tensor in (hidden, head, reference, frozen):
        tensor.requires_grad_()
    mean_kl(hidden, head, reference, frozen, torch.ones(2, 3)).backward()
    assert hidden.grad is not None
    assert head.grad is not None
    assert reference.grad is None
    assert frozen.grad is None


# --- Token NLL -------------------------------------------------------------------------------


def test_token_nll_by_hand() -> None:
    # Logits of the first two positions: (0, ln 3) -> (1/4, 3/4), and (0, 0) -> (1/2, 1/2).
    hidden = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0], [5.0, -5.0]]])
    nll, mask = token_nll(hidden, torch.eye(2), torch.tensor([[1, 0, 1]]))
    # The first token is given; then p(0) = 1/4 and p(1) = 1/2.
    assert nll.tolist() == [pytest.approx([1.386294361, LN2], rel=1e-6)]
    assert mask.tolist() == [[1.0, 1.0]]


def test_token_nll_is_the_loss_of_transformers() -> None:
    model = tiny_llama()
    batch = collate(random_rows(12, 12), pad_id=0)
    with torch.no_grad():
        theirs = model(**batch).loss.item()
        ours = mean_nll(
            *token_nll(hidden_states(model, batch), head_weight(model), batch["labels"])
        )
    assert ours.item() == pytest.approx(theirs, rel=1e-6)


def test_padding_has_no_effect() -> None:
    """Rows of different length in one batch, under two pad ids, and each row by itself."""
    model = tiny_llama()
    rows = random_rows(17, 5, 9)
    results = []
    for pad in (0, 7):
        batch = collate(rows, pad)
        model.zero_grad()
        nll, mask = token_nll(hidden_states(model, batch), head_weight(model), batch["labels"])
        assert mask.sum(dim=1).tolist() == [16.0, 4.0, 8.0]
        assert (nll[mask == 0] == 0).all()
        mean_nll(nll, mask).backward()
        results.append([nll.detach(), *(weight.grad for weight in model.parameters())])
    for first, second in zip(*results, strict=True):
        assert torch.allclose(first, second, atol=1e-7)
    sums = results[0][0].sum(dim=1)
    for row, together in zip(rows, sums, strict=True):
        alone = collate([row], pad_id=3)
        nll, _ = token_nll(hidden_states(model, alone), head_weight(model), alone["labels"])
        assert nll.sum().item() == pytest.approx(together.item(), rel=1e-5)


def test_kl_of_padding_has_no_effect() -> None:
    model, reference = tiny_llama(0), tiny_llama(1)
    rows = random_rows(17, 5)
    values = []
    for pad in (0, 7):
        batch = collate(rows, pad)
        with torch.no_grad():
            before = hidden_states(reference, batch)
        loss = mean_kl(
            hidden_states(model, batch),
            head_weight(model),
            before,
            head_weight(reference),
            batch["attention_mask"],
        )
        model.zero_grad()
        loss.backward()
        values.append([loss.detach(), *(weight.grad for weight in model.parameters())])
    for first, second in zip(*values, strict=True):
        assert torch.allclose(first, second, atol=1e-7)
    with torch.no_grad():  # the 22 true positions, straight from the models' logits
        parts = []
        for row in rows:
            ids = torch.tensor([row])
            ours, theirs = (
                Categorical(logits=each(input_ids=ids).logits) for each in (model, reference)
            )
            parts.append(torch_kl(theirs, ours).flatten())
    assert values[0][0].item() == pytest.approx(torch.cat(parts).mean().item(), rel=1e-4)
