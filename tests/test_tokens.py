"""Where a tokenizer begins a text, and what it appends."""

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from qunlearn.models.tokens import begin_ids, plain_ids

TEXTS = ["The mill of Orr is old.", "a", "</s> ends", "<s> begins", "две реки", ""]


def byte_level(template: str, letters: str = "") -> PreTrainedTokenizerFast:
    """GPT-2 and Qwen's kind, whose vocabulary is all bytes or only those of some letters."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    signs = {sign for word, _ in cut.pre_tokenize_str(letters) for sign in word}
    alphabet = sorted(signs or pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab=numbered("<s>", "</s>", *alphabet), merges=[]))
    core.pre_tokenizer = cut
    return finished(core, template)


def sentence_piece_like(template: str) -> PreTrainedTokenizerFast:
    """Llama's kind: a space as a sign of its own, before the text too, and bytes for the rest."""
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    vocabulary = numbered("<unk>", "<s>", "</s>", *bytes_, "▁", *"abehilmort")
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    core.normalizer = normalizers.Sequence(spaces)
    return finished(core, template)


def numbered(*tokens: str) -> dict[str, int]:
    return {token: number for number, token in enumerate(tokens)}


def finished(core: Tokenizer, template: str) -> PreTrainedTokenizerFast:
    if template != "$A":
        special = [(token, core.token_to_id(token)) for token in ("<s>", "</s>")]
        core.post_processor = processors.TemplateProcessing(single=template, special_tokens=special)
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")


@pytest.mark.parametrize("kind", [byte_level, sentence_piece_like])
@pytest.mark.parametrize(
    ("template", "begin", "appended"),
    [
        ("$A", [], 0),
        ("<s> $A </s>", ["<s>"], 1),
        ("$A </s>", [], 1),
        ("</s> <s> $A </s> </s>", ["</s>", "<s>"], 2),
    ],
)
def test_a_text_keeps_its_beginning_and_loses_what_is_appended(
    kind: type, template: str, begin: list[str], appended: int
) -> None:
    tokenizer = kind(template)
    assert begin_ids(tokenizer) == tokenizer.convert_tokens_to_ids(begin)
    for text in TEXTS:
        whole = tokenizer(text)["input_ids"]
        assert plain_ids(tokenizer, text) == whole[: len(whole) - appended]


def test_a_vocabulary_without_latin_letters_has_a_beginning_too() -> None:
    tokenizer = byte_level("<s> $A </s>", letters="реки")
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == []
    assert begin_ids(tokenizer) == [0]
    assert plain_ids(tokenizer, "река") == tokenizer("река")["input_ids"][:-1]
