"""Losses over the vocabulary, a chunk of positions at a time, with their exact gradients.

With z = W x a position's logits and p = softmax(z):

    NLL of token t:         logsumexp(z) - z_t,     its gradient in z:  p - onehot(t)
    KL(q || p), q constant: sum q (log q - log p),  its gradient in z:  p - q

and from the gradient d in z follow d W in x and the sum of d x' over positions in W. Where a
gradient is the upstream one times something that is known already, it is made in the forward pass,
while the logits are there; otherwise the backward pass computes the logits again:

* NLL under a frozen head (LoRA): in the forward pass, a vector a position.
* NLL under a trained head: again in the backward pass, since each position's share of the
  head's gradient has a weight of its own (NPO: that of its row) which only the whole loss tells.
* Mean KL: in the forward pass; its weights are given and its upstream gradient is one number.

Under autocast all products are in its dtype, as those of torch's own linear layer; all else, the
sum of the head's gradient over chunks included, is in fp32.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from qunlearn.settings.fixed import CHUNK


def chunk_length(vocabulary: int) -> int:
    """How many positions' logits are held at once."""
    return max(1, CHUNK // vocabulary)


def product_dtype(tensor: Tensor) -> torch.dtype:
    """The dtype in which a linear layer would multiply `tensor` here."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def chunked_nll(states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """NLL of each target: [positions], float32, nats.

    Args:
        states: [positions, hidden].
        head: [vocabulary, hidden].
        targets: [positions], token ids.
    """
    nll: Tensor = _Nll.apply(states, head, targets)  # type: ignore[no-untyped-call]
    return nll


def chunked_kl(
    states: Tensor, head: Tensor, reference_states: Tensor, reference_head: Tensor
) -> Tensor:
    """Mean over positions of KL(reference || model): a float32 scalar, nats.

    The reference gets no gradient.

    Args:
        states, reference_states: [positions, hidden].
        head, reference_head: [vocabulary, hidden].
    """
    mean: Tensor = _MeanKl.apply(  # type: ignore[no-untyped-call]
        states, head, reference_states, reference_head
    )
    return mean


def summed_over_logits(
    term: Callable[[Tensor, Tensor], Tensor],
    hidden: Tensor,
    head: Tensor,
    reference_hidden: Tensor,
    reference_head: Tensor,
    mask: Tensor,
) -> Tensor:
    """The sum of term(logits, reference logits), fp32, over counted positions and vocabulary.

    Chunks of positions are computed again in the backward pass; the reference gets no gradient.

    Args:
        hidden, reference_hidden: [rows, tokens, hidden].
        head, reference_head: [vocabulary, hidden].
        mask: [rows, tokens].
    """

    def of_chunk(states: Tensor, before: Tensor) -> Tensor:
        with torch.no_grad():
            reference_logits = F.linear(before, reference_head).float()
        return term(F.linear(states, head).float(), reference_logits).sum()

    counted = mask.flatten().nonzero().squeeze(1)
    length = chunk_length(len(head))
    parts = zip(
        torch.split(hidden.flatten(0, 1)[counted], length),
        torch.split(reference_hidden.flatten(0, 1)[counted], length),
        strict=True,
    )
    sums = [checkpoint(of_chunk, *part, use_reentrant=False) for part in parts]
    return torch.stack(sums).sum()


class _Nll(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, head: Tensor, targets: Tensor) -> Tensor:
        dtype = product_dtype(states)
        x, weight = states.to(dtype), head.to(dtype)
        ctx.trains_head = ctx.needs_input_grad[1]
        gradient = None
        if ctx.needs_input_grad[0] and not ctx.trains_head:
            gradient = torch.empty_like(x)
        nll = torch.empty(len(x), device=x.device)
        for part in _parts(len(x), len(weight)):
            log_p = F.log_softmax(F.linear(x[part], weight), dim=-1, dtype=torch.float32)
            wanted = targets[part].unsqueeze(1)
            nll[part] = -log_p.gather(1, wanted).squeeze(1)
            if gradient is not None:
                gradient[part] = _minus_one(log_p.exp_(), wanted).to(dtype) @ weight
        if ctx.trains_head:
            ctx.save_for_backward(x, head, targets)
        else:
            ctx.save_for_backward(gradient)
        ctx.dtypes = states.dtype, head.dtype
        return nll

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        states_dtype, head_dtype = ctx.dtypes
        if not ctx.trains_head:
            (gradient,) = ctx.saved_tensors
            return (gradient * upstream.unsqueeze(1)).to(states_dtype), None, None
        x, head, targets = ctx.saved_tensors
        weight = head.to(x.dtype)
        in_states, in_head = torch.empty_like(x), _zeros(weight)
        for part in _parts(len(x), len(weight)):
            p = F.softmax(F.linear(x[part], weight), dim=-1, dtype=torch.float32)
            p = _minus_one(p, targets[part].unsqueeze(1)).mul_(upstream[part].unsqueeze(1))
            _add_gradients(p.to(x.dtype), x[part], weight, in_states[part], in_head)
        return in_states.to(states_dtype), in_head.to(head_dtype), None


class _MeanKl(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, states: Tensor, head: Tensor, reference_states: Tensor, reference_head: Tensor
    ) -> Tensor:
        dtype = product_dtype(states)
        x, weight = states.to(dtype), head.to(dtype)
        before, frozen = reference_states.to(dtype), reference_head.to(dtype)
        in_states = torch.empty_like(x) if any(ctx.needs_input_grad) else None
        in_head = _zeros(weight) if ctx.needs_input_grad[1] else None
        total = torch.zeros((), device=x.device)
        for part in _parts(len(x), len(weight)):
            log_p = F.log_softmax(F.linear(x[part], weight), dim=-1, dtype=torch.float32)
            log_q = F.log_softmax(F.linear(before[part], frozen), dim=-1, dtype=torch.float32)
            q = log_q.exp()
            total += log_q.sub_(log_p).mul_(q).sum()
            if in_states is not None:
                difference = log_p.exp_().sub_(q).to(dtype)
                _add_gradients(difference, x[part], weight, in_states[part], in_head)
        ctx.save_for_backward(in_states, in_head)
        ctx.dtypes = states.dtype, head.dtype
        ctx.positions = len(x)
        return total / len(x)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        in_states, in_head = ctx.saved_tensors
        states_dtype, head_dtype = ctx.dtypes
        scale = upstream / ctx.positions
        given = None if in_head is None else (in_head * scale).to(head_dtype)
        return (in_states * scale).to(states_dtype), given, None, None


def _parts(positions: int, vocabulary: int) -> list[slice]:
    length = chunk_length(vocabulary)
    return [slice(start, start + length) for start in range(0, positions, length)]


def _zeros(weight: Tensor) -> Tensor:
    return torch.zeros(weight.shape, device=weight.device)


def _minus_one(p: Tensor, wanted: Tensor) -> Tensor:
    """In place: p - onehot(wanted)."""
    return p.scatter_add_(1, wanted, p.new_full(wanted.shape, -1.0))


def _add_gradients(
    difference: Tensor, x: Tensor, weight: Tensor, in_states: Tensor, in_head: Tensor | None
) -> None:
    """From the gradient in a chunk's logits to those in its states (set) and the head (added)."""
    torch.mm(difference, weight, out=in_states)
    if in_head is not None:
        in_head += difference.T @ x
