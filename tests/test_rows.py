"""Rows: how texts become lists of tokens, and lists of tokens a batch."""

import copy

import pytest
import torch
from tiny_models import TEXTS
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qunlearn.run.errors import InputError
from qunlearn.settings.kinds import Chunking
from qunlearn.training.rows import IGNORED, collate, make_rows, unique_rows


def with_template(tokenizer: PreTrainedTokenizerFast, template: str) -> PreTrainedTokenizerFast:
    """The same tokenizer, that lays tokens of its own around a text."""
    changed = copy.deepcopy(tokenizer)
    changed.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    special = [(token, changed.convert_tokens_to_ids(token)) for token in ("<s>", "</s>")]
    changed.backend_tokenizer.post_processor = TemplateProcessing(
        single=template, special_tokens=special
    )
    return changed


@pytest.mark.parametrize("max_tokens", [4, 9, 64])
@pytest.mark.parametrize("chunking", ["documents", "stream"])
@pytest.mark.parametrize(
    ("template", "begin"),
    [("$A", []), ("<s> $A", ["<s>"]), ("<s> $A </s>", ["<s>"]), ("$A </s>", [])],
)
def test_every_row_begins_as_the_tokenizer_begins_a_text(
    tokenizer: PreTrainedTokenizerFast,
    template: str,
    begin: list[str],
    chunking: Chunking,
    max_tokens: int,
) -> None:
    changed = with_template(tokenizer, template)
    rows = make_rows(TEXTS, changed, max_tokens, chunking)
    assert max(map(len, rows)) <= max_tokens
    first = changed.convert_tokens_to_ids(begin)
    assert all(row[: len(first)] == first for row in rows)
    pieces = [row[len(first) :] for row in rows]
    # Behind its beginning a row is text alone, and each document ends in </s> once.
    texts = [f"{text}</s>" for text in TEXTS] if chunking == "documents" else ["\n\n".join(TEXTS)]
    assert changed.decode([token for piece in pieces for token in piece]) == "".join(texts)


@pytest.mark.parametrize("max_tokens", [5, 8, 64])
@pytest.mark.parametrize("chunking", ["documents", "stream"])
def test_texts_are_cut_into_equal_pieces(
    tokenizer: PreTrainedTokenizerFast, max_tokens: int, chunking: Chunking
) -> None:
    for text in TEXTS:
        rows = make_rows([text], tokenizer, max_tokens, chunking)
        whole = tokenizer(text).input_ids + [tokenizer.eos_token_id] * (chunking == "documents")
        assert [token for row in rows for token in row] == whole
        lengths = [len(row) for row in rows]
        assert max(lengths) - min(lengths) <= 1
        assert len(rows) == -(-len(whole) // max_tokens)


def test_a_row_keeps_to_its_document(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = make_rows(TEXTS, tokenizer, 64, "documents")
    assert [tokenizer.decode(row, skip_special_tokens=True) for row in rows] == TEXTS
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    assert make_rows(TEXTS[:1], endless, 64, "documents") == [tokenizer(TEXTS[0]).input_ids]


def test_texts_and_settings_that_leave_no_row(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match="max_tokens: every row of 2 tokens begins with 2 of"):
        make_rows(TEXTS, with_template(tokenizer, "<s> <s> $A"), 2, "stream")
    for texts in ([], [""]):
        with pytest.raises(InputError, match="no text has two tokens"):
            make_rows(texts, tokenizer, 16, "stream")
    changed = with_template(tokenizer, "<s> $A")  # nor is anything learned between <s> and </s>
    assert len(make_rows(["", TEXTS[0]], changed, 64, "documents")) == 1


def test_unique_rows_keep_their_order() -> None:
    assert unique_rows([[3, 4], [1, 2], [3, 4], [1], [1, 2]]) == [[3, 4], [1, 2], [1]]


def test_collate_masks_padding() -> None:
    batch = collate([[5, 0, 7], [8]])
    assert batch["input_ids"].tolist() == [[5, 0, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    # A true token 0 counts, though padding has its id.
    assert batch["labels"].tolist() == [[5, 0, 7], [8, IGNORED, IGNORED]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}
