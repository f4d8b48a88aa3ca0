"""Losses over the vocabulary from hidden states, without ever holding all the logits.

The logits of a 2048-token row of a 32,000-token vocabulary are 262 MB in fp32, and a loss keeps
several copies. Here the head is applied to a chunk of positions at a time, and positions that do
not count are left out; values and gradients are those from all logits at once. Where all positions
weigh alike, the gradients are made together with the loss (as in liger-kernel and Wijmans et al.
2024, "Cut your losses"), and what is kept is as large as the hidden states and the head. NPO weighs
a row by its summed NLL, which is known only after its last token: there the backward pass computes
each chunk again.

Why not liger-kernel's own: its cross entropy sums the head's gradient over the tokens before it
knows their weights, so that NPO got a wrong gradient from it until a repair in 2026 (its pull
request 1298), and its KL divergence cannot be tried without a GPU.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from qunlearn.settings.fixed import CHUNK, PIECE, WHOLE
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
    chunks = _Chunks(formula, other_head, product_dtype(head))
    if len(counted) * len(head) <= WHOLE:
        with torch.no_grad():
            compared = chunks.other(compared)
        whole = (formula(F.linear(states, head), compared) * counted).view(mask.shape)
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
    """A formula, and how it is computed: a chunk of positions is multiplied at once, and the
    formula applied to a few rows of its logits at a time, which stay in the cache.
    """

    formula: Callable[[Tensor, Tensor], Tensor]
    other_head: Tensor | None
    narrow: torch.dtype  # of products; backward passes are outside of autocast

    def losses(self, states: Tensor, head: Tensor, compared: Tensor) -> Tensor:
        """The loss at each position."""
        multiplied, found = head.to(self.narrow), list[Tensor]()
        for own, other in _split(CHUNK, len(head), states, compared):
            logits = F.linear(own.to(self.narrow), multiplied), self.other(other)
            found += [self.formula(*piece) for piece in _split(PIECE, len(head), *logits)]
            del logits  # before there are others
        return torch.cat(found)

    def gradients(
        self, states: Tensor, head: Tensor, compared: Tensor, weights: Tensor, wanted: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The loss at each position, and the gradients of its sum weighted by `weights`; the
        head's, summed in its own dtype, only where `wanted`.
        """
        multiplied, found, of_head = head.to(self.narrow), list[Tensor](), None
        of_states = torch.empty_like(states)
        chunks = _split(CHUNK, len(head), states, compared, weights, of_states)
        for own, other, weight, of_own in chunks:
            narrow = own.to(self.narrow)
            logits = F.linear(narrow, multiplied)
            found += self._replaced(logits, self.other(other), weight)
            of_own.copy_(logits @ multiplied)
            if wanted:
                part = logits.T @ narrow
                if of_head is None:
                    of_head = part.to(head.dtype)
                else:  # a piece at a time, as torch widens what it adds
                    for total, more in _split(PIECE, head.shape[1], of_head, part):
                        total += more
            del logits  # before there are others
        return torch.cat(found), of_states, of_head

    def _replaced(self, logits: Tensor, other: Tensor, weights: Tensor) -> list[Tensor]:
        """Put the gradients in the place of a chunk's logits; return the losses."""
        found = []
        for piece, its, weight in _split(PIECE, logits.shape[1], logits, other, weights):
            with torch.enable_grad():
                leaf = piece.detach().requires_grad_()
                loss = self.formula(leaf, its)
            piece.copy_(torch.autograd.grad(loss, leaf, weight)[0])
            found.append(loss.detach())
        return found

    def other(self, compared: Tensor) -> Tensor:
        """What logits are compared with."""
        return compared if self.other_head is None else F.linear(compared, self.other_head)


def _split(logits: int, vocabulary: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The tensors in parts of as many positions as have so many logits."""
    length = max(1, logits // vocabulary)
    parts = [tensor.split(length) for tensor in tensors]  # type: ignore[no-untyped-call]
    return zip(*parts, strict=True)


class _Each(Function):
    """The loss at each position; logits are made again for the gradients."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, compared: Tensor, chunks: _Chunks
    ) -> Tensor:
        ctx.save_for_backward(states, head, compared)
        ctx.chunks = chunks
        return chunks.losses(states, head, compared)

    @staticmethod
    def backward(ctx: Any, weights: Tensor) -> Any:
        _, *gradients = ctx.chunks.gradients(*ctx.saved_tensors, weights, ctx.needs_input_grad[1])
        return *gradients, None, None


class _Sum(Function):
    """The sum of the losses: all weigh alike, so that their gradients need no second pass."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, compared: Tensor, chunks: _Chunks
    ) -> Tensor:
        ones = torch.ones(len(states), device=states.device)
        losses, *ctx.gradients = chunks.gradients(
            states, head, compared, ones, ctx.needs_input_grad[1]
        )
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> Any:
        of_states, of_head = ctx.gradients
        del ctx.gradients  # weighted in place, so that they serve once
        return of_states.mul_(weight), None if of_head is None else of_head.mul_(weight), None, None


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
