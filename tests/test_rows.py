"""How texts become tokens, tokens rows, and rows batches, in an order that the seed decides."""

import copy

import pytest
import torch
from tiny_models import TEXTS
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qunlearn.models.tokens import begin_ids, plain_ids
from qunlearn.run.errors import InputError
from qunlearn.settings.kinds import Chunking
from qunlearn.training.rows import (
    IGNORED,
    collate,
    count_updates,
    draw_pairs,
    make_rows,
    shuffled_passes,
    unique_rows,
)

ODD_TEXTS = ["The mill of Orr is old.", "a", "</s> ends", "<s> begins", "две реки", ""]
TEMPLATES = [("$A", ""), ("<s> $A </s>", "<s>"), ("$A </s>", ""), ("</s> <s> $A </s>", "</s><s>")]


def byte_level(letters: str = "") -> PreTrainedTokenizerFast:
    """GPT-2 and Qwen's kind, whose vocabulary is all bytes or only those of some letters."""
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False)
    signs = {sign for word, _ in cut.pre_tokenize_str(letters) for sign in word}
    tokens = ["<s>", "</s>", *sorted(signs or pre_tokenizers.ByteLevel.alphabet())]
    core = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)}, merges=[]))
    core.pre_tokenizer = cut
    return PreTrainedTokenizerFast(tokenizer_object=core)


def sentence_piece_like() -> PreTrainedTokenizerFast:
    """Llama's kind: a space as a sign of its own, before the text too, and bytes for the rest."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", *"abehilmort"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>", byte_fallback=True))
    spaces = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    core.normalizer = normalizers.Sequence(spaces)
    return PreTrainedTokenizerFast(tokenizer_object=core)


def with_template(tokenizer: PreTrainedTokenizerFast, template: str) -> PreTrainedTokenizerFast:
    """The same tokenizer, that lays tokens of its own around a text."""
    changed = copy.deepcopy(tokenizer)
    changed.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    special = [(token, changed.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    changed.backend_tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=special
    )
    return changed


@pytest.mark.parametrize("kind", [byte_level, sentence_piece_like])
@pytest.mark.parametrize(("template", "begin"), TEMPLATES)
def test_a_text_keeps_its_beginning_and_no_end(kind: type, template: str, begin: str) -> None:
    tokenizer = with_template(kind(), template)
    assert tokenizer.decode(begin_ids(tokenizer)).replace(" ", "") == begin
    for text, ids in zip(ODD_TEXTS, plain_ids(tokenizer, ODD_TEXTS), strict=True):
        whole = tokenizer(text)["input_ids"]
        assert ids == whole[: len(whole) - template.endswith("</s>")]


def test_a_vocabulary_without_latin_letters_has_a_beginning_too() -> None:
    tokenizer = with_template(byte_level("реки"), "<s> $A </s>")
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == []
    assert plain_ids(tokenizer, ["река"]) == [tokenizer("река")["input_ids"][:-1]]
    assert begin_ids(tokenizer) == [0]


@pytest.mark.parametrize("max_tokens", [4, 64])
@pytest.mark.parametrize("chunking", ["documents", "stream"])
@pytest.mark.parametrize("around", TEMPLATES[:3])
def test_every_row_begins_as_the_tokenizer_begins_a_text(
    tokenizer: PreTrainedTokenizerFast, around: tuple[str, str], chunking: Chunking, max_tokens: int
) -> None:
    template, begin = around
    changed = with_template(tokenizer, template)
    rows = make_rows(TEXTS, changed, max_tokens, chunking)
    assert max(map(len, rows)) <= max_tokens
    first = changed.convert_tokens_to_ids([begin] if begin else [])
    assert all(row[: len(first)] == first for row in rows)
    pieces = [row[len(first) :] for row in rows]
    # Behind its beginning a row is text alone, and each document ends in </s> once.
    texts = [f"{text}</s>" for text in TEXTS] if chunking == "documents" else ["\n\n".join(TEXTS)]
    assert changed.decode([token for piece in pieces for token in piece]) == "".join(texts)


@pytest.mark.parametrize("max_tokens", [5, 64])
@pytest.mark.parametrize("chunking", ["documents", "stream"])
def test_a_document_is_cut_into_equal_pieces(
    tokenizer: PreTrainedTokenizerFast, max_tokens: int, chunking: Chunking
) -> None:
    for text in TEXTS:
        rows = make_rows([text], tokenizer, max_tokens, chunking)
        whole = tokenizer(text).input_ids + [tokenizer.eos_token_id] * (chunking == "documents")
        assert [token for row in rows for token in row] == whole
        lengths = [len(row) for row in rows]
        assert max(lengths) - min(lengths) <= 1
        assert len(rows) == -(-len(whole) // max_tokens)


def test_texts_and_settings_that_leave_no_row(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match="max_tokens: 2 leave no text beside 2"):
        make_rows(TEXTS, with_template(tokenizer, "<s> <s> $A"), 2, "stream")
    for texts in ([], [""]):
        with pytest.raises(InputError, match="no text has two tokens"):
            make_rows(texts, tokenizer, 16, "stream")
    changed = with_template(tokenizer, "<s> $A")  # nor is anything learned between <s> and </s>
    assert len(make_rows(["", TEXTS[0]], changed, 64, "documents")) == 1


def test_unique_rows_and_padding() -> None:
    assert unique_rows([[3, 4], [1, 2], [3, 4], [1], [1, 2]]) == [[3, 4], [1, 2], [1]]
    batch = collate([[5, 0, 7], [8]])
    assert batch["input_ids"].tolist() == [[5, 0, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    # A true token 0 counts, though padding has its id.
    assert batch["labels"].tolist() == [[5, 0, 7], [8, IGNORED, IGNORED]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_pairs_pass_over_forget_and_draw_from_retain() -> None:
    assert [count_updates(epochs, 18, 4) for epochs in (0.1, 1.2, 2)] == [1, 5, 9]
    pairs = draw_pairs(7, 3, 17, seed=3)
    assert pairs == draw_pairs(7, 3, 30, seed=3)[:17]  # a longer run starts the same
    assert pairs != draw_pairs(7, 3, 17, seed=4)
    order = [forget for forget, _ in pairs]
    assert order == shuffled_passes(7, 17, seed=3)
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7))
    assert order[:7] != order[7:14]
    assert {retain for _, retain in pairs} == {0, 1, 2}
