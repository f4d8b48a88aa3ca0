"""SimNPO: NPO without the model before unlearning, on the mean NLL of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def simnpo(seen: Seen, settings: UnlearnSettings) -> Tensor:
    """SimNPO (Fan et al. 2024): mean over rows of -2/beta * log sigmoid(beta * NLL / tokens).

    It falls as a row's mean NLL rises, and levels off once the row is forgotten, by whatever it was
    before. The paper's margin, which would be taken from the mean NLL, is 0, as in its published
    runs, which use a beta of 2.5, as a mean is far below NPO's sum. In both variants of definitions
    it is the same: the MUSE benchmark has none of its own.
    """
    from torch.nn.functional import logsigmoid

    (nll, mask), beta = seen.token_nll(), settings.beta
    mean = (nll * mask).sum(dim=1) / mask.sum(dim=1)
    return (-2.0 / beta * logsigmoid(beta * mean)).mean()


TERM = Term(
    name="simnpo",
    label="SimNPO",
    rows="forget",
    source="Fan et al. 2024 (arXiv 2410.07163), margin 0",
    paper=Definition(simnpo, over="rows"),
    uses={"beta": "SimNPO's inverse temperature"},
)
