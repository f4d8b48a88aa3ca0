"""How many rows share a forward pass: a number, or as many as the device's memory holds.

What `auto` reckons with, in bytes, for a row of `width` tokens of which `own` are run at once
(all but a shared prefix) and after which `new` are generated; b = bytes a number of the model:

    cache    2 * layers * KV heads * head size * b * (width + new)      keys and values
    work     4 * (hidden + MLP width) * b * own      of one layer: the others' is free again
    logits   (b + 4) * vocabulary * scored positions         as computed, and in float32

The weights are there already, so only the memory that is still free counts, and of that a share.
Rows are taken longest first, and a batch ends where one more row of its longest's width would not
fit: short rows are many to a batch, long ones few. An estimate can be wrong, so a batch that does
not fit all the same is asked again in halves.
"""

import gc
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import BatchSize
from qunlearn.settings.fixed import MOST_LOGITS

FREE_SHARE = 0.8
"""Of the free memory; the rest is for fragmentation and for what the formula leaves out."""
MOST_ROWS = {"cpu": 32, "cuda": 128}
"""Of `auto`, by kind of device: beyond it a larger batch is no faster."""


@dataclass
class BatchLog:
    """What a metric's batches came to.

    Attributes:
        largest: rows of the largest batch.
        batches: how many were asked.
        halved: how often one did not fit the memory.
    """

    largest: int = 0
    batches: int = 0
    halved: int = 0


@dataclass(frozen=True)
class RowCost:
    """Bytes of memory that a row of a batch needs, and how many of its logits are held.

    Attributes:
        cache: a token whose keys and values are kept.
        work: a token that is run at once.
        logits: a position whose logits are computed.
        shared: tokens at the beginning of each row that were run before.
        new: tokens that are generated after each row; None: all positions are scored instead.
    """

    cache: int
    work: int
    logits: int
    shared: int = 0
    new: int | None = None

    @classmethod
    def of(cls, model: PreTrainedModel, shared: int = 0, new: int | None = None) -> "RowCost":
        """The terms of this module's formula, from the model's config and the width of its type."""
        config = model.config.get_text_config()
        heads = config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // heads
        kept = getattr(config, "num_key_value_heads", None) or heads
        mlp = getattr(config, "intermediate_size", None) or 4 * config.hidden_size
        size = model.dtype.itemsize
        return cls(
            cache=2 * config.num_hidden_layers * kept * head * size,
            work=4 * (config.hidden_size + mlp) * size,
            logits=(size + 4) * config.vocab_size,
            shared=shared,
            new=new,
        )

    def bytes(self, width: int) -> int:
        """Of a row of `width` tokens, the shared ones included."""
        if self.new is None:
            return width * (self.work + self.logits)
        own = width - self.shared
        return self.cache * (width + self.new) + self.work * own + self.logits


def ask_in_batches(
    lengths: Sequence[int],
    size: BatchSize,
    cost: RowCost,
    device: torch.device,
    ask: Callable[[list[int]], None],
    *,
    title: str,
    unit: str,
    log: BatchLog | None = None,
) -> None:
    """Call `ask` with the indices of the rows of a batch until each row was asked once.

    Args:
        lengths: tokens of each row; rows of similar length share a batch, the longest first.
        size: rows a batch. The logits of texts are kept below `MOST_LOGITS` in any case, which
            depends on the rows alone.
        ask: must not keep anything of a batch that raises.
        title, unit: of the progress bar.
        log: is told what the batches came to.

    Raises:
        InputError: the memory does not hold a batch of a fixed size, or not one row.
    """
    log = log or BatchLog()
    budget = FREE_SHARE * free_bytes(device) if size == "auto" else 0.0
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    with tqdm(total=len(order), desc=title, unit=unit) as bar:
        start = 0
        while start < len(order):
            width = lengths[order[start]]
            rows = MOST_ROWS.get(device.type, MOST_ROWS["cuda"]) if size == "auto" else size
            if size == "auto":
                rows = min(rows, int(budget // cost.bytes(width)))
            if cost.new is None:
                rows = min(rows, MOST_LOGITS // (cost.logits * width))
            batch = order[start : start + max(1, rows)]
            if _fits(ask, batch):
                start += len(batch)
                log.largest = max(log.largest, len(batch))
                log.batches += 1
                bar.update(len(batch))
            elif size != "auto":
                raise InputError(
                    f"{title}: not enough memory for {len(batch)} rows of {width} tokens; "
                    f"lower evaluate.batch_size from {size}, or set it to auto"
                )
            elif len(batch) == 1:
                raise InputError(
                    f"{title}: not enough memory for a single row of {width} tokens; lower "
                    "evaluate.shots or evaluate.max_tokens, or use a device with more memory"
                )
            else:
                budget = len(batch) // 2 * cost.bytes(width)
                log.halved += 1


def free_bytes(device: torch.device) -> int:
    """Memory that a process can still have: of the GPU, or of the machine where it tells."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + unused)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _fits(ask: Callable[[list[int]], None], batch: list[int]) -> bool:
    """Ask a batch; False when it ran out of memory, which is then free again."""
    try:
        ask(batch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    # Here the exception, whose traceback holds the tensors of the failed pass, is gone.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return False


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory is short; torch's CPU allocator has no class for it."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    words = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED", "out of memory")
    return any(word in str(error) for word in words)
