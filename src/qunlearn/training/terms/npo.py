"""NPO: negative preference optimization of the forget rows against the model before unlearning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def npo(nll: Tensor, mask: Tensor, reference_nll: Tensor, beta: float) -> Tensor:
    """NPO (Zhang et al. 2024, eq. 3): mean of -2/beta * log sigmoid(beta * (NLL - NLL_ref)).

    Args:
        nll: [rows, tokens], of the model in training, nats.
        mask: [rows, tokens].
        reference_nll: [rows], summed over each row's tokens, of the model before unlearning.
        beta: inverse temperature; as beta -> 0 the gradient approaches GA's.
    """
    from torch.nn.functional import logsigmoid

    gain = (nll * mask).sum(dim=1) - reference_nll
    return (-2.0 / beta * logsigmoid(beta * gain)).mean()


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
    from torch.nn.functional import logsigmoid

    from qunlearn.training.chunked import summed_over_logits

    def term(logits: Tensor, before: Tensor) -> Tensor:
        return logsigmoid(beta * (before - logits))

    total = summed_over_logits(term, hidden, head, reference_hidden, reference_head, mask)
    return -2.0 / beta * total / (mask.sum() * len(head))


def _paper(seen: Seen, settings: UnlearnSettings) -> Tensor:
    from qunlearn.training.losses import token_nll

    (reference_nll,) = seen.reference
    return npo(*token_nll(seen.hidden, seen.head, seen.labels), reference_nll, settings.beta)


def _muse(seen: Seen, settings: UnlearnSettings) -> Tensor:
    return elementwise_npo(*seen.states(), settings.beta)


TERM = Term(
    name="npo",
    label="NPO",
    rows="forget",
    source="Zhang et al. 2024 (arXiv 2404.05868), eq. 3",
    kind="nll",
    paper=Definition(_paper, over="rows", reference="nll"),
    muse=Definition(_muse, over="tokens", reference="states"),
    uses={"beta": "NPO's inverse temperature"},
)
