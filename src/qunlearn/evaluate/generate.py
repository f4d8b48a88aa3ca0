"""Greedy continuations of many prompts.

The tokens that all prompts begin with are run once, and their keys and values laid before each row
of a batch; its padding stands between the two. Full attention masks it; a sliding window, which
counts tokens, would see less of a short row: such models run each prompt from its first token.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.cache_utils import DynamicCache, DynamicLayer
from transformers.generation import GenerationConfig, StoppingCriteria, StoppingCriteriaList

from qunlearn.evaluate.batching import run_in_batches
from qunlearn.evaluate.onednn import quick_products
from qunlearn.evaluate.prompts import STOP_STRINGS
from qunlearn.models.tokens import plain_ids
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import BatchSize


@torch.inference_mode()
def continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str],
    *,
    new_tokens: int,
    batch_size: BatchSize,
    finished: Callable[[str], bool] | None = None,
    title: str = "generate",
) -> list[str]:
    """The greedy continuation of each prompt, in the order of the prompts.

    Prompts of similar length share a batch. A prompt that does not fit the model's context beside
    its continuation keeps its end. Of the checkpoint's own generation settings only the end-of-text
    tokens count.

    Args:
        model: in evaluation mode; its device is used.
        new_tokens: at most so many tokens are generated; fewer after an end-of-text token.
        finished: may end a prompt's continuation early, once it holds for the text so far. It is
            called when a token with a character that ends a stop string has been generated.

    Raises:
        InputError: the model's context has no room for a prompt beside `new_tokens`, a prompt
            has no token, or the memory is too small.
    """
    room = (context := model.config.max_position_embeddings) - new_tokens
    if room < 1:
        raise InputError(
            f"{new_tokens} new tokens leave no room in the context of {context}; lower their number"
        )
    rows = [ids[-room:] for ids in plain_ids(tokenizer, prompts)]
    if not all(rows):
        empty = prompts[rows.index([])]
        raise InputError(f"prompt {empty!r} has no token; give every prompt some text")
    prefix = DynamicCache(config=model.config)
    shared = _shared_length(rows) if all(type(x) is DynamicLayer for x in prefix.layers) else 0
    if shared:
        ids = torch.tensor([rows[0][:shared]], device=model.device)
        with quick_products(model):
            model(input_ids=ids, past_key_values=prefix, use_cache=True, logits_to_keep=1)
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids_of_ends = configured if isinstance(configured, list) else [configured]
    ends = {int(i) for i in [*ids_of_ends, tokenizer.eos_token_id] if i is not None}
    criteria = _Finished(tokenizer, finished) if finished else None
    generate: Any = model.generate  # typed as a submodule otherwise
    greedy = GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=sorted(ends) or None,
        pad_token_id=min(ends, default=0),
    )
    outputs = [""] * len(rows)

    def run(batch: list[int]) -> None:
        ids, mask = _padded([rows[index] for index in batch], shared, model.device)
        cache = DynamicCache(config=model.config)
        # Only layers that see all tokens; the others keep a few, and drop them as they go.
        cache.layers = [
            _InPlace(before, len(batch), ids.shape[1] + new_tokens)
            if type(before) is DynamicLayer
            else layer
            for before, layer in zip(prefix.layers, cache.layers, strict=True)
        ]
        if criteria:
            criteria.start = ids.shape[1]
        sequences = generate(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            generation_config=greedy,
            stopping_criteria=StoppingCriteriaList([criteria] if criteria else []),
        )
        for index, tokens in zip(batch, sequences[:, ids.shape[1] :].tolist(), strict=True):
            kept = list(takewhile(lambda token: token not in ends, tokens))
            outputs[index] = str(tokenizer.decode(kept, skip_special_tokens=True))

    # `generate` takes over all of the model's own settings that `greedy` leaves unset: penalties,
    # forbidden and forced tokens, stop strings, a least length.
    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        with quick_products(model):
            run_in_batches([len(row) for row in rows], batch_size, model, run, title=title)
    finally:
        model.generation_config = own
    return outputs


def _shared_length(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with, leaving each row at least one of its own."""
    # What the first and the last row in sorted order share, all rows between them share.
    pairs = zip(min(rows), max(rows), strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(common, min(len(row) for row in rows) - 1)


def _padded(
    rows: Sequence[Sequence[int]], shared: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both [rows, longest], padded behind the shared tokens."""
    width = max(map(len, rows))
    ids = [[*row[:shared], *[0] * (width - len(row)), *row[shared:]] for row in rows]
    mask = [[1] * shared + [0] * (width - len(row)) + [1] * (len(row) - shared) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


class _InPlace(DynamicLayer):  # type: ignore[misc]  # an untyped base
    """A layer of a cache with room for all tokens to come: its base copies all at each step.

    Args:
        shared: the layer of the shared tokens, one row; not initialized without such tokens.
        rows, tokens: what there is room for.
    """

    def __init__(self, shared: DynamicLayer, rows: int, tokens: int) -> None:
        super().__init__()
        self._tokens = tokens
        if shared.is_initialized:
            self.update(*(x.expand(rows, -1, -1, -1) for x in (shared.keys, shared.values)))

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self._whole = [
            states.new_empty(*states.shape[:2], self._tokens, states.shape[3])
            for states in (key_states, value_states)
        ]

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> Any:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        for whole, states in zip(self._whole, (key_states, value_states), strict=True):
            whole[:, :, start:end] = states
        self.keys, self.values = (whole[:, :, :end] for whole in self._whole)
        return self.keys, self.values


class _Finished(StoppingCriteria):  # type: ignore[misc]  # an untyped base
    """Ends each row once `finished` holds for its text, which begins at the column `start`.

    A row is decoded only after a token that can complete a stop string, not at every step: one
    whose text has the last character of one. A stop string that ends in a letter is left out: it
    would make most tokens such, and what follows it (a colon) closes another.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, finished: Callable[[str], bool]) -> None:
        self._characters = {stop[-1] for stop in STOP_STRINGS if not stop[-1].isalpha()}
        self._closing: dict[int, bool] = {}
        self._tokenizer = tokenizer
        self._finished = finished
        self.start = 0

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        done = [
            self._closes(token)
            and self._finished(self._tokenizer.decode(row[self.start :], skip_special_tokens=True))
            for row, token in zip(input_ids, input_ids[:, -1].tolist(), strict=True)
        ]
        return torch.tensor(done, device=input_ids.device)

    def _closes(self, token: int) -> bool:
        if token not in self._closing:
            text = str(self._tokenizer.decode([token]))
            self._closing[token] = not self._characters.isdisjoint(text)
        return self._closing[token]
