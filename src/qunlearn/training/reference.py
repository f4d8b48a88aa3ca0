"""What unlearning needs of the model before unlearning, without a second model in memory.

Some terms need one number a row, others the reference's next-token distributions on all rows.
Both are constant over a run. For distributions the last hidden states of the rows are kept in a
file, and the logits are computed again from them with a frozen copy of the head.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import accumulate
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from tqdm import tqdm

from qunlearn.training.chunked import product_dtype
from qunlearn.training.losses import head_weight, hidden_states, token_nll
from qunlearn.training.rows import Batch, collate
from qunlearn.training.sharding import own_share, processes, summed, within

Rows = Sequence[Sequence[int]]
Autocast = Callable[[], AbstractContextManager[None]]
"""Makes the context that a forward pass runs in.

Each pass needs its own: a torch.autocast that is entered twice forgets how it found the world, and
leaves autocast switched on for whatever comes after.
"""
Reference = Callable[[Sequence[int], Batch], tuple[Tensor, ...]]
"""Gives `objectives.Seen.reference` of the rows of these indices, which the batch holds."""


def evaluate_rows(
    model: nn.Module,
    rows: Rows,
    pad: int,
    batch_size: int,
    autocast: Autocast,
    label: str,
) -> Iterator[tuple[list[int], Batch, Tensor]]:
    """Yield (row indices, batch, hidden states), longest rows first; no gradients, no dropout."""
    device = next(model.parameters()).device
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    starts = range(0, len(order), batch_size)
    was_training = model.training
    model.eval()
    try:
        for start in tqdm(starts, desc=label, leave=False, mininterval=1.0):
            indices = order[start : start + batch_size]
            batch = to_device(collate([rows[index] for index in indices], pad), device)
            with torch.no_grad(), autocast():
                hidden = hidden_states(model, batch)
            yield indices, batch, hidden
    finally:
        model.train(was_training)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`."""
    return Batch(
        input_ids=batch["input_ids"].to(device),
        attention_mask=batch["attention_mask"].to(device),
        labels=batch["labels"].to(device),
    )


def row_nll(
    model: nn.Module,
    rows: Rows,
    pad: int,
    batch_size: int,
    autocast: Autocast,
) -> tuple[Tensor, Tensor]:
    """Summed NLL in nats and number of predicted tokens of each row: two float32 [rows], on CPU."""
    sums, counts = torch.zeros(len(rows)), torch.zeros(len(rows))
    for indices, batch, hidden in evaluate_rows(model, rows, pad, batch_size, autocast, "NLL"):
        with torch.no_grad(), autocast():
            nll, mask = token_nll(hidden, head_weight(model), batch["labels"])
        sums[indices] = (nll * mask).sum(dim=1).cpu()
        counts[indices] = mask.sum(dim=1).cpu()
    return sums, counts


def spread_row_nll(
    model: nn.Module, rows: Rows, pad: int, batch_size: int, autocast: Autocast
) -> tuple[Tensor, Tensor]:
    """`row_nll`, of which each process computes its share; all get the whole."""
    if processes() == 1:
        return within(model, row_nll, rows, pad, batch_size, autocast)
    mine, counting = own_share(len(rows))
    found = within(model, row_nll, [rows[index] for index in mine], pad, batch_size, autocast)
    whole = torch.zeros(2, len(rows))
    whole[:, mine[:counting]] = torch.stack(found)[:, :counting]
    sums, counts = summed(whole)
    return sums, counts


class CachedStates:
    """The reference of a run: hidden states of rows in a memory-mapped file, and the head.

    They are kept in the dtype in which the head multiplies them, so that nothing is rounded that
    would not be rounded anyway: 2 * hidden bytes a token under bf16 autocast (8 kB at 7B, so 8 GB
    for a million tokens), 4 * hidden in fp32. To read them costs less than to run the model with
    its adapter switched off, which is a fifth of a LoRA update's multiplications.

    Args:
        model: the model before unlearning; an adapter that it has is switched off.
        batch_size: rows a forward pass.
        file: where the states go; written anew.
    """

    def __init__(
        self,
        model: nn.Module,
        rows: Rows,
        pad: int,
        batch_size: int,
        autocast: Autocast,
        file: Path,
    ) -> None:
        self._lengths = [len(row) for row in rows]
        self._starts = [0, *accumulate(self._lengths)]
        head = head_weight(model).detach()
        with autocast():
            self._head = head.to(product_dtype(head), copy=True)
        width, dtype = self._head.shape[1], self._head.dtype
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        size = self._starts[-1] * width
        # A mapped file that meets a full disk would end the process without a word.
        with file.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, size * dtype.itemsize)
        self._states = torch.from_file(str(file), shared=True, size=size, dtype=dtype)
        self._states = self._states.view(-1, width)
        with adapter_off(model):
            for indices, _, hidden in evaluate_rows(
                model, rows, pad, batch_size, autocast, "reference"
            ):
                for position, index in enumerate(indices):
                    states = hidden[position, : self._lengths[index]]
                    self._states[self._span(index)] = states.to("cpu", dtype)

    def hidden(self, indices: Sequence[int], batch: Batch) -> Tensor:
        """Hidden states of the rows `indices`, which `batch` holds; 0 where it is padding.

        Returns:
            [rows, tokens, hidden], on the device and in the dtype of `head`.
        """
        hidden = torch.zeros(
            (*batch["input_ids"].shape, self._head.shape[1]), dtype=self._head.dtype
        )
        for position, index in enumerate(indices):
            hidden[position, : self._lengths[index]] = self._states[self._span(index)]
        return hidden.to(self._head.device)

    @property
    def head(self) -> Tensor:
        """The reference's output embedding, a frozen copy: [vocabulary, hidden]."""
        return self._head

    def _span(self, index: int) -> slice:
        return slice(self._starts[index], self._starts[index + 1])


def remember(
    wanted: Literal["", "nll", "states"],
    model: nn.Module,
    rows: Rows,
    pad: int,
    batch_size: int,
    autocast: Autocast,
    file: Path,
) -> Reference:
    """Keep what a term of the loss needs of `model`, which is not trained yet.

    Args:
        wanted: see `objectives.Definition.reference`.
        rows: those that the term acts on.
        batch_size: rows a forward pass.
        file: where hidden states go.
    """
    if wanted == "states":
        states = within(model, CachedStates, rows, pad, batch_size, autocast, file)
        return lambda indices, batch: (states.hidden(indices, batch), states.head)
    if wanted == "nll":
        sums, _ = spread_row_nll(model, rows, pad, batch_size, autocast)
        return lambda indices, batch: (sums[list(indices)].to(batch["labels"].device),)
    return lambda indices, batch: ()


def adapter_off(model: nn.Module) -> AbstractContextManager[None]:
    """Switch a PEFT model's adapter off; any other model is its own reference."""
    switch = getattr(model, "disable_adapter", None)
    return switch() if switch is not None else nullcontext()  # type: ignore[no-any-return]
