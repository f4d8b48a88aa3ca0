"""KLR: hold the distributions on the retain rows to those of the model before unlearning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.training.objectives import Definition, Term

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


def mean_kl(
    hidden: Tensor, head: Tensor, reference_hidden: Tensor, reference_head: Tensor, mask: Tensor
) -> Tensor:
    """KLR: mean of KL(reference || model) over the positions that `mask` counts, nats.

    Args:
        hidden, reference_hidden: [rows, tokens, hidden].
        head, reference_head: [vocabulary, hidden].
        mask: [rows, tokens].
    """
    from qunlearn.training.losses import over_vocabulary

    each = over_vocabulary(kl_divergence, hidden, head, reference_hidden, mask, reference_head)
    return each.sum() / mask.sum()


def raw_kl(
    hidden: Tensor, head: Tensor, reference_hidden: Tensor, reference_head: Tensor, mask: Tensor
) -> Tensor:
    """KLR of variant `muse`: sum of exp(z_ref) * (z_ref - z) over raw logits, divided by rows.

    This is what torch's `kl_div` (log_target, batchmean) makes of logits where it expects log
    probabilities; `batchmean` divides by rows, not by positions. It is no KL divergence: it is
    linear in z, so that it has no minimum at the reference and no lower bound, and it always pulls
    each logit up with weight exp(z_ref), however high it stands. muse_bench counts padding too, of
    which its rows have none.

    Args: as `mean_kl`.
    """
    from qunlearn.training.losses import over_vocabulary

    def formula(logits: Tensor, before: Tensor) -> Tensor:
        before = before.float()
        return (before.exp() * (before - logits.float())).sum(dim=-1)

    each = over_vocabulary(formula, hidden, head, reference_hidden, mask, reference_head)
    return each.sum() / len(hidden)


TERM = Term(
    name="klr",
    label="KLR",
    rows="retain",
    source="Shi et al. 2024 (MUSE, arXiv 2407.06460)",
    kind="kl",
    paper=Definition(lambda seen, _: mean_kl(*seen.states()), over="tokens", reference="states"),
    muse=Definition(lambda seen, _: raw_kl(*seen.states()), over="rows", reference="states"),
)
