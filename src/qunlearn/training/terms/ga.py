"""GA: gradient ascent on the forget rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def gradient_ascent(nll: Tensor, mask: Tensor) -> Tensor:
    """GA (Jang et al. 2022): the negated mean token NLL of the forget rows; unbounded below.

    Args:
        nll, mask: [rows, tokens], as of `losses.token_nll`.
    """
    from qunlearn.training.losses import mean_nll

    return -mean_nll(nll, mask)


def _loss(seen: Seen, settings: UnlearnSettings) -> Tensor:
    from qunlearn.training.losses import token_nll

    return gradient_ascent(*token_nll(seen.hidden, seen.head, seen.labels))


TERM = Term(
    name="ga",
    label="GA",
    rows="forget",
    source="Jang et al. 2022 (arXiv 2210.01504)",
    kind="nll",
    paper=Definition(_loss, over="predictions"),
)
