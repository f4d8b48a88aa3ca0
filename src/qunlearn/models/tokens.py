"""Texts as token ids: begun as the tokenizer begins a text, and left open at the end.

A tokenizer may lay tokens of its own around a text: Llama's lays `<s>` before it, and one saved
after fine-tuning with `add_eos_token` lays `</s>` behind it too. A model was trained with the
beginning and must be given it; but a prompt or a row that ends in `</s>` has nothing to go on.
"""

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any

from transformers import PreTrainedTokenizerBase

from qunlearn.run.errors import InputError


def begin_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids that the tokenizer lays before each text: mostly [BOS], or none."""
    # A vocabulary need not hold Latin letters, so the probe is a word that has a token.
    words = (word for word in tokenizer.get_vocab() if word not in tokenizer.all_special_tokens)
    probe = next(word for word in chain(["a"], words) if _bare(tokenizer, word))
    whole = tokenizer(probe)["input_ids"]
    return list(whole[: whole.index(_bare(tokenizer, probe)[0])])


def plain_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text behind those of `begin_ids`; what the tokenizer appends is left out."""
    if not texts:  # which tokenizers do not take
        return []
    begin = begin_ids(tokenizer)
    whole = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    return [begin + ids for ids in whole]


def check_ids(tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
    """Raise an InputError for a token that a model has no embedding for, such as a later `[PAD]`.

    Args:
        rows: of the embedding.
    """
    token, largest = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if largest >= rows:
        raise InputError(
            f"the tokenizer's token {token!r} has the id {largest}, and the model's embedding has "
            f"{rows} rows; use the tokenizer that it was trained with, without added tokens"
        )


def same_ids(one: PreTrainedTokenizerBase, two: PreTrainedTokenizerBase) -> bool:
    """Whether two tokenizers make the same ids of every text; what they pad with is no matter."""
    pads = (one.pad_token, two.pad_token)

    def rules(tokenizer: PreTrainedTokenizerBase) -> Any:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:  # written in Python
            return tokenizer.get_vocab()
        content = json.loads(backend.to_str())
        added = [token for token in content["added_tokens"] if token["content"] not in pads]
        names = ("model", "normalizer", "pre_tokenizer", "post_processor")
        return [added, *(content[name] for name in names)]

    return bool(rules(one) == rules(two))


def _bare(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
