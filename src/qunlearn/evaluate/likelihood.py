"""How likely a model finds given texts, token by token."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qunlearn.evaluate.batching import run_in_batches
from qunlearn.models.tokens import plain_ids
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import BatchSize


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
    rows = [plain_ids(tokenizer, text)[:longest] for text in texts]
    for text, row in zip(texts, rows, strict=True):
        if len(row) < 2:
            raise InputError(f"text {text!r} has fewer than two tokens; remove it or lengthen it")
    scored: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(rows)

    def run(batch: list[int]) -> None:
        values = _score([rows[index] for index in batch], model)
        for index, row_values in zip(batch, values, strict=True):
            scored[index] = row_values[: len(rows[index]) - 1].copy()

    run_in_batches([len(row) for row in rows], batch_size, model, run, title=title, scored=True)
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
