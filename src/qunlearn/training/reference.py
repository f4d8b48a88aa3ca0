"""What unlearning needs of the model before unlearning, without a second model in memory.

NPO needs one number a forget row; KLR needs the reference's next-token distributions on retain
rows. Both are constant over a run. With LoRA the reference is the model with its adapter switched
off; when the whole model is trained, its last hidden states on the retain rows are kept in a file
and its logits are computed again from them with a frozen copy of the head.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from qunlearn.training.losses import head_weight, hidden_states, token_nll
from qunlearn.training.rows import Batch, collate

if TYPE_CHECKING:
    from peft import PeftModel

Rows = Sequence[Sequence[int]]
Autocast = Callable[[], AbstractContextManager[None]]
"""Makes the context that a forward pass runs in.

Each pass needs its own: a torch.autocast that is entered twice forgets how it found the world, and
leaves autocast switched on for whatever comes after.
"""


class RetainReference(Protocol):
    """Gives the reference's hidden states of retain rows."""

    def hidden(self, model: nn.Module, indices: Sequence[int], batch: Batch) -> Tensor:
        """Hidden states [rows, tokens, hidden] of the rows `indices`, which `batch` holds."""
        ...

    def head(self, model: nn.Module) -> Tensor:
        """The reference's output embedding [vocabulary, hidden]."""
        ...


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


class AdapterOff:
    """The reference of a LoRA run: the same model with its adapter switched off."""

    def __init__(self, autocast: Autocast) -> None:
        self._autocast = autocast

    def hidden(self, model: nn.Module, indices: Sequence[int], batch: Batch) -> Tensor:
        """Computed anew: [rows, tokens, hidden]."""
        switched_off = cast("PeftModel", model).disable_adapter()
        with torch.no_grad(), self._autocast(), switched_off:
            return hidden_states(model, batch)

    def head(self, model: nn.Module) -> Tensor:
        """The model's own: [vocabulary, hidden]."""
        return head_weight(model)  # never trained by LoRA


class CachedStates:
    """The reference of a full run: hidden states of all retain rows in a memory-mapped file.

    The file takes 4 * hidden bytes a token (fp32, so that nothing is rounded).
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
        self._starts = np.concatenate([[0], np.cumsum(self._lengths)])
        self._head = head_weight(model).detach().clone()
        shape = (int(self._starts[-1]), self._head.shape[1])
        file.parent.mkdir(parents=True, exist_ok=True)
        self._states = np.memmap(file, dtype=np.float32, mode="w+", shape=shape)
        for indices, _, hidden in evaluate_rows(
            model, rows, pad, batch_size, autocast, "reference"
        ):
            for position, index in enumerate(indices):
                states = hidden[position, : self._lengths[index]]
                self._states[self._span(index)] = states.float().cpu().numpy()

    def hidden(self, model: nn.Module, indices: Sequence[int], batch: Batch) -> Tensor:
        """Read from the file: [rows, tokens, hidden], 0 where `batch` is padding."""
        shape = (*batch["input_ids"].shape, self._head.shape[1])
        hidden = torch.zeros(shape)
        for position, index in enumerate(indices):
            states = torch.from_numpy(np.array(self._states[self._span(index)]))
            hidden[position, : len(states)] = states
        return hidden.to(self._head.device, self._head.dtype)

    def head(self, model: nn.Module) -> Tensor:
        """The frozen copy: [vocabulary, hidden]."""
        return self._head

    def _span(self, index: int) -> slice:
        return slice(int(self._starts[index]), int(self._starts[index + 1]))
