"""Greedy continuations of many prompts."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    StoppingCriteria,
    StoppingCriteriaList,
)

from qunlearn.evaluate.batching import BatchLog, RowCost, ask_in_batches
from qunlearn.evaluate.prefix import Prefix
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
    log: BatchLog | None = None,
) -> list[str]:
    """The greedy continuation of each prompt, in the order of the prompts.

    Prompts of similar length share a batch, padded on the left. The tokens that all prompts begin
    with are run once, unless the model has layers that would count the padding behind them (see
    `Prefix`). A prompt that does not fit the model's context beside its continuation keeps its
    end. Of the checkpoint's own generation settings only the end-of-text tokens count.

    Args:
        model: in evaluation mode; its device is used.
        new_tokens: at most so many tokens are generated; fewer after an end-of-text token.
        finished: ends a prompt's continuation early, once it holds for the text so far. It is
            asked when a token with a character that ends a stop string has been generated.
        title: of the progress bar.
        log: is told what the batches came to.

    Raises:
        InputError: the model's context has no room for a prompt beside `new_tokens`, a prompt
            has no token, or the memory is too small.
    """
    context = model.config.max_position_embeddings
    room = context - new_tokens
    if room < 1:
        raise InputError(
            f"{new_tokens} new tokens leave no room for a prompt in the model's context of "
            f"{context}; lower verbmem_tokens or knowmem_tokens"
        )
    rows = [plain_ids(tokenizer, prompt)[-room:] for prompt in prompts]
    for prompt, row in zip(prompts, rows, strict=True):
        if not row:
            raise InputError(f"prompt {prompt!r} has no token; give every prompt some text")
    shared = _shared_length(rows) if Prefix.fits(model) else 0
    prefix = Prefix(model, rows[0][:shared])
    ends = _end_tokens(model, tokenizer)
    criteria = _Finished(tokenizer, finished, _closing_tokens(tokenizer)) if finished else None
    generate: Any = model.generate  # typed as a submodule otherwise
    greedy = GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        eos_token_id=sorted(ends) or None,
        pad_token_id=0,
    )
    outputs = [""] * len(rows)

    def ask(batch: list[int]) -> None:
        ids, mask = _pad_left([rows[index] for index in batch], shared, model.device)
        if criteria:
            criteria.begin(ids.shape[1])
        with _without_own_settings(model):
            sequences = generate(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=prefix.cache(len(batch), ids.shape[1] + new_tokens),
                generation_config=greedy,
                stopping_criteria=StoppingCriteriaList([criteria] if criteria else []),
            )
        lengths = criteria.lengths if criteria else {}
        generated = sequences[:, ids.shape[1] :].tolist()
        for row, (index, tokens) in enumerate(zip(batch, generated, strict=True)):
            outputs[index] = _text(tokenizer, _until(tokens[: lengths.get(row)], ends))

    ask_in_batches(
        [len(row) for row in rows],
        batch_size,
        RowCost.of(model, shared, new_tokens),
        model.device,
        ask,
        title=title,
        unit="prompt",
        log=log,
    )
    return outputs


@contextmanager
def _without_own_settings(model: PreTrainedModel) -> Iterator[None]:
    """Keep the checkpoint's generation settings from `generate`.

    It takes over all of them that its argument leaves unset: penalties, forbidden and forced
    tokens, stop strings, a least length.
    """
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _shared_length(rows: list[list[int]]) -> int:
    """How many tokens all rows begin with, leaving each row at least one of its own."""
    # What the first and the last row in sorted order share, all rows between them share.
    pairs = zip(min(rows), max(rows), strict=False)
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return min(common, min(len(row) for row in rows) - 1)


def _pad_left(
    rows: Sequence[Sequence[int]], shared: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids and attention mask, both [rows, longest], of rows that share their first tokens.

    The padding stands behind the shared tokens: their keys and values are the same for all rows.
    """
    width = max(len(row) for row in rows)
    ids = [[*row[:shared], *[0] * (width - len(row)), *row[shared:]] for row in rows]
    mask = [[1] * shared + [0] * (width - len(row)) + [1] * (len(row) - shared) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _end_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The ids that end a text: those of the model's generation settings and the tokenizer's."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return {int(i) for i in [*ids, tokenizer.eos_token_id] if i is not None}


def _text(tokenizer: PreTrainedTokenizerBase, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True))


def _until(tokens: list[int], ends: set[int]) -> list[int]:
    """`tokens` before the first that ends the text."""
    for position, token in enumerate(tokens):
        if token in ends:
            return tokens[:position]
    return tokens


def _closing_tokens(tokenizer: PreTrainedTokenizerBase) -> Tensor:
    """[vocabulary] bool: whether a token's text has the last character of a stop string.

    A stop string that ends in a letter is left out: it would make most tokens close one, and
    what follows it (a colon) closes another.
    """
    characters = {stop[-1] for stop in STOP_STRINGS if not stop[-1].isalpha()}
    texts = tokenizer.batch_decode([[i] for i in range(len(tokenizer))])
    return torch.tensor([not characters.isdisjoint(text) for text in texts])


class _Finished(StoppingCriteria):  # type: ignore[misc]  # an untyped base
    """Ends each row once `finished` holds for its text.

    Works on token ids: a row is decoded only after a token that can complete a stop string, not
    at every step. `lengths` says after how many tokens a row was ended.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, finished: Callable[[str], bool], closing: Tensor
    ) -> None:
        self._tokenizer = tokenizer
        self._finished = finished
        self._closing = closing
        self._start = 0
        self.lengths: dict[int, int] = {}

    def begin(self, start: int) -> None:
        """A new batch whose continuations begin at column `start`."""
        self._start = start
        self.lengths = {}

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        done = torch.zeros(len(input_ids), dtype=torch.bool)
        newest = input_ids[:, -1].cpu()
        known = newest < len(self._closing)  # a model's vocabulary may be padded beyond its tokens
        closed = known & self._closing[newest.clamp(max=len(self._closing) - 1)]
        for row in closed.nonzero().flatten().tolist():
            generated = input_ids[row, self._start :]
            if row not in self.lengths and self._finished(
                _text(self._tokenizer, generated.tolist())
            ):
                self.lengths[row] = len(generated)
        done[list(self.lengths)] = True
        return done.to(input_ids.device)
