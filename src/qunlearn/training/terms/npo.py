"""NPO: negative preference optimization of the forget rows against the model before unlearning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.training.objectives import Definition, Term

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

    from qunlearn.training.losses import over_vocabulary

    def formula(logits: Tensor, before: Tensor) -> Tensor:
        return logsigmoid(beta * (before.float() - logits.float())).sum(dim=-1)

    each = over_vocabulary(formula, hidden, head, reference_hidden, mask, reference_head)
    return -2.0 / beta * each.sum() / (mask.sum() * len(head))


TERM = Term(
    name="npo",
    label="NPO",
    rows="forget",
    source="Zhang et al. 2024 (arXiv 2404.05868), eq. 3",
    kind="nll",
    paper=Definition(
        lambda seen, settings: npo(*seen.token_nll(), seen.reference[0], settings.beta),
        over="rows",
        reference="nll",
    ),
    muse=Definition(
        lambda seen, settings: elementwise_npo(*seen.states(), settings.beta),
        over="tokens",
        reference="states",
    ),
    uses={"beta": "NPO's inverse temperature"},
)
