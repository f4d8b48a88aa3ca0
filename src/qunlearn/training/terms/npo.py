"""NPO: negative preference optimization of the forget rows against the model before unlearning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def npo(seen: Seen, settings: UnlearnSettings) -> Tensor:
    """NPO (Zhang et al. 2024, eq. 3): mean of -2/beta * log sigmoid(beta * (NLL - NLL_ref)).

    NLLs are sums over a row's tokens. As beta, the inverse temperature, approaches 0, the gradient
    approaches GA's.
    """
    from torch.nn.functional import logsigmoid

    (nll, mask), beta = seen.token_nll(), settings.beta
    gain = (nll * mask).sum(dim=1) - seen.reference[0]
    return (-2.0 / beta * logsigmoid(beta * gain)).mean()


def elementwise_npo(seen: Seen, settings: UnlearnSettings) -> Tensor:
    """NPO of variant `muse`: mean of -2/beta * log sigmoid(beta * (z_ref - z)) over raw logits.

    The mean is over all positions that the mask counts and the whole vocabulary. It is no NPO: that
    compares log probabilities of the forget tokens, where here every logit, of whatever token, is
    pushed below the reference's; adding a constant to a position's logits, which changes no
    probability, changes it. Each logit's gradient is below 2 / (positions * vocabulary).
    """
    from torch.nn.functional import logsigmoid

    beta, (_, head) = settings.beta, seen.reference

    def formula(logits: Tensor, before: Tensor) -> Tensor:
        return logsigmoid(beta * (before.float() - logits.float())).sum(dim=-1)

    return -2.0 / beta * seen.compare(formula) / (seen.mask.sum() * len(head))


TERM = Term(
    name="npo",
    label="NPO",
    rows="forget",
    source="Zhang et al. 2024 (arXiv 2404.05868), eq. 3",
    paper=Definition(npo, over="rows", reference="nll"),
    muse=Definition(elementwise_npo, over="tokens", reference="states"),
    uses={"beta": "NPO's inverse temperature"},
)
