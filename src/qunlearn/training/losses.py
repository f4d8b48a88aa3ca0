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

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

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
    *,
    summed: bool = False,
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
        summed: give the sum over all positions instead, a scalar.
    """
    states, compared, counted = hidden.flatten(0, 1), other.flatten(0, 1), mask.flatten()
    chunks = _Chunks(formula, max(1, CHUNK // len(head)), other_head, product_dtype(head))
    if len(counted) <= chunks.length:
        whole = (chunks.loss(states, compared, head) * counted).view(mask.shape)
        return whole.sum() if summed else whole
    places = counted.nonzero().squeeze(1)
    how: type[_Sum | _Each] = _Sum if summed and torch.is_grad_enabled() else _Each
    apply: Any = how.apply
    found: Tensor = apply(states[places], head, compared[places], chunks)
    if how is _Sum:
        return found
    return found.new_zeros(len(counted)).index_copy(0, places, found).view(mask.shape)


@dataclass(frozen=True)
class _Chunks:
    """A formula, and how it is computed `length` positions at a time."""

    formula: Callable[[Tensor, Tensor], Tensor]
    length: int
    other_head: Tensor | None
    narrow: torch.dtype  # of products; backward passes are outside of autocast

    def loss(self, states: Tensor, compared: Tensor, head: Tensor) -> Tensor:
        return self.formula(F.linear(states, head), self.other(compared))

    def other(self, compared: Tensor) -> Tensor:
        """What a chunk's logits are compared with."""
        if self.other_head is None:
            return compared
        with torch.no_grad():
            return F.linear(compared, self.other_head)

    def split(self, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
        return zip(*(torch.split(each, self.length) for each in tensors), strict=True)

    def gradients(
        self, states: Tensor, head: Tensor, compared: Tensor, weights: Tensor, wanted: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss at each position, and the gradients of its sum weighted by `weights`; the
        head's, summed in its own dtype, only where `wanted`.
        """
        multiplied = head.to(self.narrow)
        of_states = torch.empty_like(states)
        of_head = torch.zeros_like(head) if wanted else None
        losses = []
        parts = self.split(states, compared, weights, of_states)
        for own, other, weight, of_own in parts:
            own = own.to(self.narrow)
            with torch.enable_grad():
                logits = F.linear(own, multiplied).detach().requires_grad_()
                loss = self.formula(logits, self.other(other))
            (of_logits,) = torch.autograd.grad(loss, logits, weight)
            of_own.copy_(of_logits @ multiplied)
            if of_head is not None:
                of_head += of_logits.T @ own
            losses.append(loss.detach())
        return torch.cat(losses), of_states, of_head


class _Each(Function):
    """The loss at each position; logits are made again for the gradients."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, compared: Tensor, chunks: _Chunks
    ) -> Tensor:
        ctx.save_for_backward(states, head, compared)
        ctx.chunks = chunks
        multiplied = head.to(chunks.narrow)
        return torch.cat(
            [chunks.loss(*part, multiplied) for part in chunks.split(states, compared)]
        )

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> Any:
        _, of_states, of_head = ctx.chunks.gradients(
            *ctx.saved_tensors, weights, ctx.needs_input_grad[1]
        )
        return of_states, of_head, None, None


class _Sum(Function):
    """The sum of the losses. All positions weigh alike, so that gradients need no second pass."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, compared: Tensor, chunks: _Chunks
    ) -> Tensor:
        ones = torch.ones(len(states), device=states.device)
        losses, *gradients = chunks.gradients(states, head, compared, ones, ctx.needs_input_grad[1])
        ctx.save_for_backward(*gradients)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Any:
        of_states, of_head = ctx.saved_tensors
        return of_states * weight, None if of_head is None else of_head * weight, None, None


def token_nll(
    hidden: Tensor, head: Tensor, labels: Tensor, *, summed: bool = False
) -> tuple[Tensor, Tensor]:
    """NLL of each token given those before it, and the mask of tokens that count.

    Args:
        hidden: [rows, tokens, hidden].
        head: [vocabulary, hidden].
        labels: [rows, tokens]; IGNORED where a token does not count.
        summed: give the sum of all NLLs instead, a scalar.

    Returns:
        nll, mask: [rows, tokens - 1], float32, nats; nll is 0 where mask is 0.
    """

    def formula(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="none")

    targets = labels[:, 1:]
    mask = (targets != IGNORED).float()
    return over_vocabulary(formula, hidden[:, :-1], head, targets, mask, summed=summed), mask
