"""The unlearning objectives: a forget term (GA, NPO) and a retain term (GDR, KLR).

    loss = gamma * forget + alpha * retain

in the definitions that the paper's experiments use (those of open-unlearning), which are not those
of the MUSE benchmark: NPO acts on a sequence's summed NLL, KLR is a true KL divergence.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from qunlearn.settings.unlearning import Objective
from qunlearn.training.losses import by_chunks, mean_nll


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

    def kl(states: Tensor, reference: Tensor) -> Tensor:
        with torch.no_grad():
            reference_logits = F.linear(reference, reference_head)
        return kl_divergence(reference_logits, F.linear(states, head))

    flat = by_chunks(kl, hidden.flatten(0, 1), reference_hidden.flatten(0, 1))
    counted = mask.flatten().float()
    return (flat * counted).sum() / counted.sum()
