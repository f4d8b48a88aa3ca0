"""What unlearning needs of the model before unlearning, without a second model in memory.

Some terms need one number a row, others the reference's next-token distributions on all rows.
Both are constant over a run. For distributions the last hidden states of the rows are kept in a
file, and the logits are computed again from them with a frozen copy of the head.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from qunlearn.training.losses import Autocast, head_weight, hidden_states, product_dtype, token_nll
from qunlearn.training.rows import Batch, Rows, collate
from qunlearn.training.sharding import gathered, processes, rank, within

Reference = Callable[[Sequence[int]], tuple[Tensor, ...]]
"""Gives `objectives.Seen.reference` of the rows of these indices; the Trainer moves it."""


def remember(
    wanted: Literal["", "nll", "states"],
    model: nn.Module,
    rows: Rows,
    batch_size: int,
    autocast: Autocast,
    file: Path,
) -> Reference:
    """Keep what a term (`objectives.Definition.reference`) needs of `model` before its training;
    `batch_size` rows share a forward pass, and hidden states go to `file`.
    """
    if wanted == "states":
        return within(model, cached_states, rows, batch_size, autocast, file)
    if wanted == "nll":
        sums, _ = row_nll(model, rows, batch_size, autocast)
        return lambda indices: (sums[list(indices)],)
    return lambda indices: ()


def row_nll(
    model: nn.Module, rows: Rows, batch_size: int, autocast: Autocast
) -> tuple[Tensor, Tensor]:
    """Summed NLL in nats and number of predicted tokens of each row: two float32 [rows], on CPU.

    Each process computes its share; all get the whole.
    """
    each = -(-len(rows) // processes())
    # All processes must compute equally often: the last share is filled up with the last row.
    mine = [rows[min(rank() * each + index, len(rows) - 1)] for index in range(each)]

    def compute(model: nn.Module) -> Tensor:
        found = torch.zeros(2, each)
        for indices, batch, hidden in _evaluate(model, mine, batch_size, autocast):
            with torch.no_grad(), autocast():
                nll, mask = token_nll(hidden, head_weight(model), batch["labels"])
            found[:, indices] = torch.stack([(nll * mask).sum(dim=1), mask.sum(dim=1)]).cpu()
        return found

    sums, counts = gathered(within(model, compute))[:, : len(rows)]
    return sums, counts


def cached_states(
    model: nn.Module, rows: Rows, batch_size: int, autocast: Autocast, file: Path
) -> Reference:
    """Keep hidden states of rows in a memory-mapped file, and a copy of the head.

    They are kept in the dtype in which the head multiplies them, so that nothing is rounded that
    would not be rounded anyway: 2 * hidden bytes a token under bf16 autocast (8 kB at 7B, so 8 GB
    for a million tokens), 4 * hidden in fp32. To read them costs less than to run the model with
    its adapter switched off, which is a fifth of a LoRA update's multiplications.

    Args:
        model: the model before unlearning; an adapter that it has is switched off.
        batch_size: rows a forward pass.
        file: where the states go; written anew.

    Returns:
        Gives [rows, tokens, hidden], 0 where it is padding, and [vocabulary, hidden] on the model's
        device, in one dtype.
    """
    head = head_weight(model).detach()
    with autocast():
        head = head.to(product_dtype(head), copy=True)
    lengths, dtype = [len(row) for row in rows], head.dtype
    size = sum(lengths) * head.shape[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    # A mapped file that meets a full disk would end the process without a word.
    with file.open("wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, size * dtype.itemsize)
    mapped = torch.from_file(str(file), shared=True, size=size, dtype=dtype)
    kept = torch.split(mapped.view(-1, head.shape[1]), lengths)
    with getattr(model, "disable_adapter", nullcontext)():
        for indices, _, hidden in _evaluate(model, rows, batch_size, autocast):
            for index, states in zip(indices, hidden, strict=True):
                kept[index].copy_(states[: lengths[index]])

    return lambda indices: (pad_sequence([kept[i] for i in indices], batch_first=True), head)


def _evaluate(
    model: nn.Module, rows: Rows, batch_size: int, autocast: Autocast
) -> Iterator[tuple[list[int], Batch, Tensor]]:
    """Yield (row indices, batch, hidden states), longest rows first; no gradients, no dropout."""
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    was_training = model.training
    model.eval()
    try:
        for start in range(0, len(order), batch_size):
            indices = order[start : start + batch_size]
            batch = collate([rows[index] for index in indices])
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            with torch.no_grad(), autocast():
                hidden = hidden_states(model, batch)
            yield indices, batch, hidden
    finally:
        model.train(was_training)
