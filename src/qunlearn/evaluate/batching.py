"""Forward passes over many rows: how many share a pass, and how likely a model finds texts.

Rows are taken longest first, so that a batch has rows of similar length: so many, or `auto`, which
begins with as many as pay; a batch that does not fit the device's memory is run again in halves,
and the batches after it have no more tokens than its half.
"""

import gc
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qunlearn.evaluate.onednn import quick_products
from qunlearn.models.tokens import plain_ids
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


@torch.inference_mode()
def token_logprobs(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    *,
    batch_size: BatchSize,
    max_tokens: int,
    title: str = "likelihood",
) -> list[NDArray[np.float32]]:
    """Per text the log-probability, in nats, of each token but the first given those before it.

    An end-of-text token that the tokenizer appends is not of the text, and is not scored.

    Args:
        model: in evaluation mode; its device is used.
        max_tokens: a text is cut to so many tokens, and to the model's context.

    Returns:
        One array [n - 1] for each text of n tokens, in the order of the texts.

    Raises:
        InputError: a text has fewer than two tokens, so that none can be scored; or the memory is
            too small.
    """
    longest = min(max_tokens, model.config.max_position_embeddings)
    rows = [ids[:longest] for ids in plain_ids(tokenizer, texts)]
    for text, row in zip(texts, rows, strict=True):
        if len(row) < 2:
            raise InputError(f"text {text!r} has fewer than two tokens; remove it or lengthen it")
    scored: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(rows)

    def run(batch: list[int]) -> None:
        values = _score([rows[index] for index in batch], model)
        for index, row_values in zip(batch, values, strict=True):
            scored[index] = row_values[: len(rows[index]) - 1].copy()

    lengths = [len(row) for row in rows]
    with quick_products(model):
        run_in_batches(lengths, batch_size, model, run, title=title, scored=True)
    return scored


def _score(rows: Sequence[Sequence[int]], model: PreTrainedModel) -> NDArray[np.float32]:
    """[rows, longest - 1] log-probabilities; what stands beyond a row's end is meaningless."""
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=model.device)
    # Under a causal mask no token sees the padding on its right, so no attention mask is needed.
    logits = model(input_ids=ids, use_cache=False).logits
    # One row at a time in float32: a whole batch of it would double the memory of the logits.
    scores = []
    for row, labels in zip(logits, ids, strict=True):
        logit = row[:-1].float()
        chosen = logit.gather(-1, labels[1:, None]).squeeze(-1)
        scores.append(chosen - logit.logsumexp(-1))
    return torch.stack(scores).numpy(force=True)
