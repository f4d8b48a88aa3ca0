"""Texts become rows of token ids, rows become padded batches, in an order that the seed decides.

The order is made before training, so that a resumed run sees what an undisturbed one sees.
"""

import math
import random
from collections.abc import Iterable, Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerBase

from qunlearn.models.tokens import begin_ids
from qunlearn.run.errors import InputError
from qunlearn.settings.kinds import Chunking

IGNORED = -100  # the label that torch's cross entropy skips
Rows = Sequence[Sequence[int]]
Batch = dict[str, Tensor]
"""`input_ids`, `attention_mask` and `labels` of right-padded rows: int64, [rows, tokens]."""


def make_rows(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_tokens: int, chunking: Chunking
) -> list[list[int]]:
    """Tokenize `texts` once and cut them into rows of at most `max_tokens` tokens.

    A text (`documents`) or all of them joined by a blank line (`stream`) is cut into pieces of
    equal length, so that no short last piece weighs as much as a full one. Every row, wherever it
    was cut, begins with the tokens that the tokenizer puts before a text (Llama's `<s>`), as
    evaluation prompts do, and the rows of open-unlearning and of MUSE's own code. Tokens that the
    tokenizer appends are left out; in `documents` the end-of-text token closes each text, once.
    Empty texts and rows of fewer than two tokens, which predict nothing, are left out.

    Raises:
        InputError: no row is left, or `max_tokens` leaves no room for text.
    """
    begin = begin_ids(tokenizer)
    room = max_tokens - len(begin)
    if room < 1:
        raise InputError(
            f"max_tokens: {max_tokens} leave no text beside {len(begin)} of the tokenizer; raise it"
        )
    closes = chunking == "documents" and tokenizer.eos_token_id is not None
    end = [tokenizer.eos_token_id] if closes else []
    rows = []
    for text in ["\n\n".join(texts)] if chunking == "stream" else texts:
        ids = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
        if ids:
            rows += [begin + piece for piece in _equal_pieces(ids + end, room)]
    rows = [row for row in rows if len(row) > 1]
    if not rows:
        raise InputError("no text has two tokens or more; check the corpus")
    return rows


def unique_rows(rows: Iterable[list[int]]) -> list[list[int]]:
    """The distinct rows in order of first appearance."""
    return [list(row) for row in dict.fromkeys(tuple(row) for row in rows)]


def collate(rows: Rows) -> Batch:
    """Pad rows on the right, with id 0; padding is masked from attention and from the labels."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    return {
        "input_ids": pad_sequence(ids, batch_first=True),
        "attention_mask": pad_sequence([torch.ones_like(row) for row in ids], batch_first=True),
        "labels": pad_sequence(ids, batch_first=True, padding_value=IGNORED),
    }


def count_updates(epochs: float, rows: int, batch_size: int) -> int:
    """Updates in `epochs` passes over `rows`: at least one."""
    return max(1, round(epochs * rows / batch_size))


def shuffled_passes(items: int, length: int, seed: int) -> list[int]:
    """The first `length` indices of endless passes over range(items), each pass shuffled anew."""
    generator = random.Random(f"order/{seed}")
    order: list[int] = []
    for _ in range(math.ceil(length / items)):
        order += generator.sample(range(items), items)
    return order[:length]


def draw_pairs(forget: int, retain: int, length: int, seed: int) -> list[tuple[int, int]]:
    """Shuffled passes over the forget rows, each row beside a random retain row."""
    generator = random.Random(f"retain/{seed}")
    return [(index, generator.randrange(retain)) for index in shuffled_passes(forget, length, seed)]


def _equal_pieces(sequence: list[int], longest: int) -> list[list[int]]:
    count = -(-len(sequence) // longest)
    bounds = [len(sequence) * index // count for index in range(count + 1)]
    return [sequence[start:end] for start, end in pairwise(bounds)]
