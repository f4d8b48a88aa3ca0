"""KLR: hold the distributions on the retain rows to those of the model before unlearning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Definition, Seen, Term

if TYPE_CHECKING:
    from torch import Tensor


def kl_divergence(reference_logits: Tensor, logits: Tensor) -> Tensor:
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
    import torch
    from torch.nn.functional import linear

    from qunlearn.training.chunked import chunk_length, chunked_kl

    states, before = hidden.flatten(0, 1), reference_hidden.flatten(0, 1)
    counted = mask.flatten().float()
    if len(states) <= chunk_length(len(head)):
        with torch.no_grad():
            reference_logits = linear(before, reference_head)
        flat = kl_divergence(reference_logits, linear(states, head))
        return (flat * counted).sum() / counted.sum()
    places = counted.nonzero().squeeze(1)
    return chunked_kl(states[places], head, before[places], reference_head)


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
    from qunlearn.training.chunked import summed_over_logits

    def term(logits: Tensor, before: Tensor) -> Tensor:
        return before.exp() * (before - logits)

    total = summed_over_logits(term, hidden, head, reference_hidden, reference_head, mask)
    return total / len(hidden)


def _paper(seen: Seen, settings: UnlearnSettings) -> Tensor:
    return mean_kl(*seen.states())


def _muse(seen: Seen, settings: UnlearnSettings) -> Tensor:
    return raw_kl(*seen.states())


TERM = Term(
    name="klr",
    label="KLR",
    rows="retain",
    source="Shi et al. 2024 (MUSE, arXiv 2407.06460)",
    kind="kl",
    paper=Definition(_paper, over="tokens", reference="states"),
    muse=Definition(_muse, over="rows", reference="states"),
)
