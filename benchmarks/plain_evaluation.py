"""MUSE's evaluation in the ways that it is usually written, to be timed against ours.

* One at a time: a call of `generate` for each prompt, all new tokens of it, cut afterwards; each
  token's probability fetched from the device by itself. So do the benchmark's own code and the
  first study of quantized unlearning.
* Padded batches: the prompts in their own order, padded to a common length, whole prompts at each
  batch and all new tokens of each.
* The same with an end: a batch stops once each of its answers holds a stop string, for which the
  last tokens of all are decoded at every step, once for each string. So does open-unlearning
  (src/evals/metrics/utils.py), in batches of 8; it does not ask how likely the retained texts are.

All give what ours gives.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList


@torch.inference_mode()
def generate_one_at_a_time(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], new_tokens: int
) -> list[str]:
    """The greedy continuation of each prompt."""
    return [
        _generate(model, tokenizer, [tokenizer(prompt)["input_ids"]], new_tokens)[0]
        for prompt in prompts
    ]


@torch.inference_mode()
def logprobs_one_at_a_time(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> list[list[float]]:
    """Each text's log-probabilities of its tokens but the first, nats."""
    found = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        logprobs = torch.log_softmax(model(input_ids=ids, labels=ids).logits[0, :-1], dim=-1)
        found.append([logprobs[at, token].item() for at, token in enumerate(ids[0, 1:].tolist())])
    return found


@torch.inference_mode()
def generate_in_batches(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    new_tokens: int,
    size: int,
    stops: Sequence[str] = (),
) -> list[str]:
    """The greedy continuation of each prompt; a batch may end once all have one of `stops`."""
    rows = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    return [
        text
        for start in range(0, len(rows), size)
        for text in _generate(model, tokenizer, rows[start : start + size], new_tokens, stops)
    ]


@torch.inference_mode()
def logprobs_in_batches(
    model: Any, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], size: int
) -> list[list[float]]:
    """Each text's log-probabilities of its tokens but the first, nats."""
    found: list[list[float]] = []
    for start in range(0, len(texts), size):
        batch = [tokenizer(text)["input_ids"] for text in texts[start : start + size]]
        ids, mask = _padded(batch, left=False)
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        logprobs = torch.log_softmax(logits, dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        found += [
            values[: len(row) - 1] for row, values in zip(batch, logprobs.tolist(), strict=True)
        ]
    return found


def _generate(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[list[int]],
    new_tokens: int,
    stops: Sequence[str] = (),
) -> list[str]:
    ids, mask = (each.to(model.device) for each in _padded(rows, left=True))
    ends = [_Held(stop, tokenizer, ids) for stop in stops]
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
        stopping_criteria=StoppingCriteriaList(ends),
    )
    return list(tokenizer.batch_decode(output[:, ids.shape[1] :], skip_special_tokens=True))


class _Held(StoppingCriteria):  # type: ignore[misc]  # an untyped base
    """Ends a batch once each row has held `stop` in its last tokens."""

    def __init__(self, stop: str, tokenizer: PreTrainedTokenizerBase, prompts: Tensor) -> None:
        self.stop, self.tokenizer, self.start = stop, tokenizer, prompts.shape[1]
        self.tokens = len(tokenizer(stop, add_special_tokens=False)["input_ids"]) + 2
        self.held = [False] * len(prompts)

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> bool:
        texts = self.tokenizer.batch_decode(input_ids[:, self.start :][:, -self.tokens :])
        pairs = zip(self.held, texts, strict=True)
        self.held = [held or self.stop in text for held, text in pairs]
        return all(self.held)


def _padded(rows: list[list[int]], left: bool) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both [rows, longest]."""
    width = max(len(row) for row in rows)
    gaps = [[0] * (width - len(row)) for row in rows]
    pairs = list(zip(rows, gaps, strict=True))
    ids = [gap + row if left else row + gap for row, gap in pairs]
    mask = [gap + [1] * len(row) if left else [1] * len(row) + gap for row, gap in pairs]
    return torch.tensor(ids), torch.tensor(mask)
