"""KLR: hold the distributions on the retain rows to those of the model before unlearning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def kl_divergence(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """KL(reference || model) at each position, nats: [..., vocabulary] -> [...]."""
    from torch.nn.functional import kl_div, log_softmax

    return kl_div(
        log_softmax(logits.float(), dim=-1),
        log_softmax(reference_logits.float(), dim=-1),
        reduction="none",
        log_target=True,
    ).sum(dim=-1)


def raw_kl(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """Variant `muse` at each position: sum of exp(z_ref) * (z_ref - z) over raw logits.

    This is what torch's `kl_div` (log_target, batchmean) makes of logits where it expects log
    probabilities; `batchmean` divides by rows, not by positions. It is no KL divergence: it is
    linear in z, so that it has no minimum at the reference and no lower bound, and it always pulls
    each logit up with weight exp(z_ref), however high it stands. muse_bench counts padding too, of
    which its rows have none.
    """
    before = reference_logits.float()
    return (before.exp() * (before - logits.float())).sum(dim=-1)


def mean_kl(seen: Seen, _: UnlearnSettings) -> Tensor:
    """The mean KL divergence over the positions that the mask counts, nats."""
    return seen.compare(kl_divergence) / seen.mask.sum()


TERM = Term(
    name="klr",
    label="KLR",
    rows="retain",
    source="Shi et al. 2024 (MUSE, arXiv 2407.06460)",
    paper=Definition(mean_kl, over="tokens", reference="states"),
    muse=Definition(
        lambda seen, _: seen.compare(raw_kl) / len(seen.mask), over="rows", reference="states"
    ),
)
