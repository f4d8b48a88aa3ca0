"""How many rows share a forward pass: a number, or as many as the device's memory holds.

Rows are taken longest first, so that a batch has rows of similar length. `auto` begins with as many
rows as pay; a batch that does not fit the memory is run again in halves, and the batches after it
have no more tokens than its half.
"""

import gc
from collections.abc import Callable, Sequence

import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import BatchSize
from qunlearn.settings.fixed import MOST_LOGITS

MOST_ROWS = {"cpu": 32, "cuda": 128}
"""Of `auto`, by kind of device: beyond it a larger batch is no faster."""
SHORTAGE = ("DefaultCPUAllocator", "not enough memory", "ALLOC_FAILED", "out of memory")
"""Words of RuntimeErrors that mean it; torch's CPU allocator has no class for it."""


def run_in_batches(
    lengths: Sequence[int],
    size: BatchSize,
    model: PreTrainedModel,
    run: Callable[[list[int]], None],
    *,
    title: str,
    scored: bool = False,
) -> None:
    """Call `run` with the indices of the rows of a batch until each row was run once.

    Args:
        lengths: tokens of each row.
        run: must not keep anything of a batch that raises.
        scored: whether the logits of all positions are computed, as computed and in float32. They
            are kept below `MOST_LOGITS`, which depends on the rows alone.

    Raises:
        InputError: the memory does not hold a batch of a fixed size, or not one row.
    """
    logits = (model.dtype.itemsize + 4) * model.config.get_text_config().vocab_size
    most = size if size != "auto" else MOST_ROWS.get(model.device.type, MOST_ROWS["cuda"])
    tokens = MOST_LOGITS // logits if scored else float("inf")
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    with tqdm(total=len(order), desc=title, unit="row") as bar:
        while order:
            width = lengths[order[0]]
            batch = order[: max(1, int(min(most, tokens / width)))]
            if _fits(run, batch):
                order = order[len(batch) :]
                bar.update(len(batch))
            elif size == "auto" and len(batch) > 1:
                tokens = len(batch) // 2 * width
            else:
                less = "set batch_size to auto" if size != "auto" else "use a larger device"
                raise InputError(
                    f"{title}: not enough memory for {len(batch)} rows of {width} tokens; {less}, "
                    "or lower evaluate.shots or evaluate.max_tokens"
                )


def _fits(run: Callable[[list[int]], None], batch: list[int]) -> bool:
    """Run a batch; False when it ran out of memory, which is then free again."""
    try:
        run(batch)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in SHORTAGE):
            raise
    else:
        return True
    # Here the exception, whose traceback holds the tensors of the failed pass, is gone.
    gc.collect()
    torch.cuda.empty_cache()
    return False
