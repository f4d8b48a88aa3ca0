"""GDR: gradient descent on the retain rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def _loss(seen: Seen, settings: UnlearnSettings) -> Tensor:
    """Ordinary training: the mean token NLL of the retain rows."""
    from qunlearn.training.losses import mean_nll, token_nll

    return mean_nll(*token_nll(seen.hidden, seen.head, seen.labels))


TERM = Term(
    name="gdr",
    label="GDR",
    rows="retain",
    source="Liu et al. 2022 (arXiv 2203.12817), as in MUSE (arXiv 2407.06460)",
    kind="nll",
    paper=Definition(_loss, over="predictions"),
)
