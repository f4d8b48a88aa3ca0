"""The unlearning objectives: a forget term (GA, NPO) and a retain term (GDR, KLR).

    loss = gamma * forget + alpha * retain

in two variants of their definitions:

* `paper`: those of open-unlearning, which the paper's experiments use. NPO acts on a sequence's
  summed NLL, KLR is a true KL divergence.
* `muse`: those of the MUSE benchmark's own code (muse_bench, `iterative.py`), to compare with its
  published numbers. `elementwise_npo` and `raw_kl` say how they differ. GA and GDR are the same in
  both. Weights (alpha, beta) cannot be carried over from one variant to the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from qunlearn.settings.unlearning import Objective
from qunlearn.training.chunked import chunk_length, chunked_kl
from qunlearn.training.losses import mean_nll


@dataclass(frozen=True)
class Terms:
    """Which terms an objective is made of."""

    forget: str
    retain: str | None

    @classmethod
    def of(cls, objective: Objective) -> "Terms":
        """Split a name such as `npo_gdr` into `npo` and `gdr`; `npo` has no retain term."""
        forget, _, retain = objective.partition("_")
        return cls(forget, retain or None)


def gradient_ascent(nll: Tensor, mask: Tensor) -> Tensor:
    """GA (Jang et al. 2022): the negated mean token NLL of the forget rows; unbounded below."""
    return -mean_nll(nll, mask)


def npo(nll: Tensor, mask: Tensor, reference_nll: Tensor, beta: float) -> Tensor:
    """NPO (Zhang et al. 2024, eq. 3): mean of -2/beta * log sigmoid(beta * (NLL - NLL_ref)).

    Args:
        nll: [rows, tokens], of the model in training, nats.
        mask: [rows, tokens].
        reference_nll: [rows], summed over each row's tokens, of the model before unlearning.
        beta: inverse temperature; as beta -> 0 the gradient approaches GA's.
    """
    gain = (nll * mask).sum(dim=1) - reference_nll
    return (-2.0 / beta * F.logsigmoid(beta * gain)).mean()


def kl_divergence(reference_logits: Tensor, logits: Tensor) -> Tensor:
    """KL(reference || model) at each position, nats: [..., vocabulary] -> [...]."""
    return F.kl_div(
        F.log_softmax(logits.float(), dim=-1),
        F.log_softmax(reference_logits.float(), dim=-1),
        reduction="none",
        log_target=True,
    ).sum(dim=-1)


def mean_kl(
    hidden: Tensor, head: Tensor, reference_hidden: Tensor, reference_head: Tensor, mask: Tensor
) -> Tensor:
    """KLR: mean of KL(reference || model) over the positions that `mask` counts, nats.

    Args:
        hidden, reference_hidden: [rows, tokens, hidden].
        head, reference_head: [vocabulary, hidden].
        mask: [rows, tokens].
    """

    states, before = hidden.flatten(0, 1), reference_hidden.flatten(0, 1)
    counted = mask.flatten().float()
    if len(states) <= chunk_length(len(head)):
        with torch.no_grad():
            reference_logits = F.linear(before, reference_head)
        flat = kl_divergence(reference_logits, F.linear(states, head))
        return (flat * counted).sum() / counted.sum()
    places = counted.nonzero().squeeze(1)
    return chunked_kl(states[places], head, before[places], reference_head)


def elementwise_npo(
    hidden: Tensor,
    head: Tensor,
    reference_hidden: Tensor,
    reference_head: Tensor,
    mask: Tensor,
    beta: float,
) -> Tensor:
    """NPO of variant `muse`: mean of -2/beta * log sigmoid(beta * (z_ref - z)) over raw logits.

    The mean is over all positions that `mask` counts and the whole vocabulary. It is no NPO: that
    compares log probabilities of the forget tokens, where here every logit, of whatever token, is
    pushed below the reference's; adding a constant to a position's logits, which changes no
    probability, changes it. Each logit's gradient is below 2 / (positions * vocabulary).

    Args:
        hidden, reference_hidden: [rows, tokens, hidden].
        head, reference_head: [vocabulary, hidden].
        mask: [rows, tokens].
        beta: inverse temperature.
    """

    def term(logits: Tensor, before: Tensor) -> Tensor:
        return F.logsigmoid(beta * (before - logits))

    total = _summed(term, hidden, head, reference_hidden, reference_head, mask)
    return -2.0 / beta * total / (mask.sum() * len(head))


def raw_kl(
    hidden: Tensor, head: Tensor, reference_hidden: Tensor, reference_head: Tensor, mask: Tensor
) -> Tensor:
    """KLR of variant `muse`: sum of exp(z_ref) * (z_ref - z) over raw logits, divided by rows.

    This is what torch's `kl_div` (log_target, batchmean) makes of logits where it expects log
    probabilities; `batchmean` divides by rows, not by positions. It is no KL divergence: it is
    linear in z, so that it has no minimum at the reference and no lower bound, and it always pulls
    each logit up with weight exp(z_ref), however high it stands.

    Args:
        hidden, reference_hidden: [rows, tokens, hidden].
        head, reference_head: [vocabulary, hidden].
        mask: [rows, tokens]; muse_bench counts padding too, of which its rows have none.
    """

    def term(logits: Tensor, before: Tensor) -> Tensor:
        return before.exp() * (before - logits)

    return _summed(term, hidden, head, reference_hidden, reference_head, mask) / len(hidden)


def _summed(
    term: Callable[[Tensor, Tensor], Tensor],
    hidden: Tensor,
    head: Tensor,
    reference_hidden: Tensor,
    reference_head: Tensor,
    mask: Tensor,
) -> Tensor:
    """The sum of term(logits, reference logits), fp32, over counted positions and vocabulary.

    Chunks of positions are computed again in the backward pass.
    """

    def of_chunk(states: Tensor, before: Tensor) -> Tensor:
        with torch.no_grad():
            reference_logits = F.linear(before, reference_head).float()
        return term(F.linear(states, head).float(), reference_logits).sum()

    counted = mask.flatten().nonzero().squeeze(1)
    length = chunk_length(len(head))
    parts = zip(
        torch.split(hidden.flatten(0, 1)[counted], length),
        torch.split(reference_hidden.flatten(0, 1)[counted], length),
        strict=True,
    )
    sums = [checkpoint(of_chunk, *part, use_reentrant=False) for part in parts]
    return torch.stack(sums).sum()
