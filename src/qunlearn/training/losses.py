"""Losses over the vocabulary from hidden states, without ever holding all the logits.

The logits of a 2048-token row of a 32,000-token vocabulary are 262 MB in fp32, and a loss keeps
several copies. Here the head is applied to a chunk of positions at a time, positions that do not
count are left out, and the backward pass computes each chunk again. What is kept is as large as
the hidden states; values and gradients are those from all logits at once.

Why no fused kernel: liger-kernel's cross entropy sums the head's gradient over the tokens before it
knows their weights, so that NPO, which weighs rows by their summed NLL, got a wrong gradient from
it until a repair in 2026 (its pull request 1298), and its KL divergence cannot be tried without a
GPU. At 7B the head is 2 % of an update's multiplications: there is little to gain.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from qunlearn.settings.fixed import CHUNK
from qunlearn.training.rows import IGNORED, Batch

Autocast = Callable[[], AbstractContextManager[None]]
"""Makes the context that a forward pass runs in.

Each pass needs its own: a torch.autocast that is entered twice forgets how it found the world, and
leaves autocast switched on for whatever comes after.
"""


def hidden_states(model: Any, batch: Batch) -> Tensor:
    """The last hidden states, after the final norm: [rows, tokens, hidden]."""
    output = model.get_decoder()(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    )
    states: Tensor = output.last_hidden_state
    return states


def head_weight(model: Any) -> Tensor:
    """The output embedding: [vocabulary, hidden]."""
    weight: Tensor = model.get_output_embeddings().weight
    return weight


def product_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype in which a linear layer would multiply `tensor` here."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def over_vocabulary(
    formula: Callable[[Tensor, Tensor], Tensor],
    hidden: Tensor,
    head: Tensor,
    other: Tensor,
    mask: Tensor,
    other_head: Tensor | None = None,
) -> Tensor:
    """A loss at each position: [rows, tokens], float32; 0 where `mask` is 0.

    Args:
        formula: from logits, [positions, vocabulary], and what they are compared with, to the loss
            at each position, float32.
        hidden: [rows, tokens, hidden].
        head: [vocabulary, hidden].
        other: token ids, [rows, tokens]; or hidden states of the reference, [rows, tokens, hidden],
            whose logits are compared; they get no gradient.
        mask: [rows, tokens].
        other_head: the reference's head, [vocabulary, hidden].
    """

    def loss(states: Tensor, compared: Tensor, weight: Tensor) -> Tensor:
        if other_head is not None:
            with torch.no_grad():
                compared = F.linear(compared, other_head)
        return formula(F.linear(states, weight), compared)

    def again(states: Tensor, compared: Tensor) -> Tensor:
        # Made narrow in each chunk, so that the head's gradients are summed in fp32.
        return loss(states, compared, head.to(product_dtype(head)))

    states, compared, counted = hidden.flatten(0, 1), other.flatten(0, 1), mask.flatten()
    length = max(1, CHUNK // len(head))
    if len(counted) <= length:
        return (loss(states, compared, head) * counted).view(mask.shape)
    places = counted.nonzero().squeeze(1)
    parts = [torch.split(each[places], length) for each in (states, compared)]
    how: Any = {"use_reentrant": False, "preserve_rng_state": False}
    found = torch.cat([checkpoint(again, *part, **how) for part in zip(*parts, strict=True)])
    return found.new_zeros(len(counted)).index_copy(0, places, found).view(mask.shape)


def token_nll(hidden: Tensor, head: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """NLL of each token given those before it, and the mask of tokens that count.

    Args:
        hidden: [rows, tokens, hidden].
        head: [vocabulary, hidden].
        labels: [rows, tokens]; IGNORED where a token does not count.

    Returns:
        nll, mask: [rows, tokens - 1], float32, nats; nll is 0 where mask is 0.
    """

    def formula(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="none")

    targets = labels[:, 1:]
    mask = (targets != IGNORED).float()
    return over_vocabulary(formula, hidden[:, :-1], head, targets, mask), mask
