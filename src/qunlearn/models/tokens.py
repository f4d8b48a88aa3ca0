"""Texts as token ids: begun as the tokenizer begins a text, and left open at the end.

A tokenizer may lay tokens of its own around a text: Llama's lays `<s>` before it, and one saved
after fine-tuning with `add_eos_token` lays `</s>` behind it too. A model was trained with the
beginning and must be given it; but a prompt or a row that ends in `</s>` has nothing to go on.
"""

from itertools import chain

from transformers import PreTrainedTokenizerBase


def begin_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The ids that the tokenizer lays before each text: mostly [BOS], or none."""
    # A vocabulary need not hold Latin letters, so the probe is a word that has a token.
    words = (word for word in tokenizer.get_vocab() if word not in tokenizer.all_special_tokens)
    probe = next(word for word in chain(["a"], words) if _bare(tokenizer, word))
    whole = tokenizer(probe)["input_ids"]
    return list(whole[: whole.index(_bare(tokenizer, probe)[0])])


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The ids of a text behind those of `begin_ids`; what the tokenizer appends is left out."""
    return begin_ids(tokenizer) + _bare(tokenizer, text)


def _bare(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
