"""Rows: how texts become lists of tokens, and lists of tokens a batch."""

import copy

import pytest
import torch
from tiny_models import TEXTS
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qunlearn.run.errors import InputError
from qunlearn.settings.kinds import Chunking
from qunlearn.training.rows import IGNORED, collate, make_rows, pad_id, unique_rows


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
    assert max(map(len, pieces)) <= max_tokens - len(first)
    # Behind its beginning a row is text alone, and each document ends in </s> once.
    texts = [f"{text}</s>" for text in TEXTS] if chunking == "documents" else ["\n\n".join(TEXTS)]
    assert changed.decode([token for piece in pieces for token in piece]) == "".join(texts)


def test_a_beginning_that_fills_the_row_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match="max_tokens: every row of 2 tokens begins with 2 of"):
        make_rows(TEXTS, with_template(tokenizer, "<s> <s> $A"), 2, "stream")


@pytest.mark.parametrize("max_tokens", [2, 5, 8, 64])
def test_documents_are_cut_into_equal_pieces(
    tokenizer: PreTrainedTokenizerFast, max_tokens: int
) -> None:
    for text in TEXTS:
        rows = make_rows([text], tokenizer, max_tokens, "documents")
        whole = tokenizer(text).input_ids
        assert [token for row in rows for token in row] == [*whole, tokenizer.eos_token_id]
        lengths = [len(row) for row in rows]
        assert max(lengths) <= max_tokens
        assert max(lengths) - min(lengths) <= 1
        assert len(rows) == -(-(len(whole) + 1) // max_tokens)


def test_a_row_keeps_to_its_document(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = make_rows(TEXTS, tokenizer, 64, "documents")
    assert [tokenizer.decode(row, skip_special_tokens=True) for row in rows] == TEXTS
    assert all(row[-1] == tokenizer.eos_token_id for row in rows)
    assert all(tokenizer.eos_token_id not in row[:-1] for row in rows)


def test_a_stream_is_joined_by_blank_lines(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = make_rows(TEXTS, tokenizer, 7, "stream")
    lengths = [len(row) for row in rows]
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) <= 7
    joined = [token for row in rows for token in row]
    assert tokenizer.decode(joined) == "\n\n".join(TEXTS)
    assert tokenizer.eos_token_id not in joined


def test_no_end_token_where_the_tokenizer_has_none(tokenizer: PreTrainedTokenizerFast) -> None:
    endless = copy.deepcopy(tokenizer)
    endless.eos_token = None
    assert make_rows(TEXTS[:1], endless, 64, "documents") == [tokenizer(TEXTS[0]).input_ids]


@pytest.mark.parametrize("chunking", ["documents", "stream"])
def test_texts_without_tokens_are_refused(
    tokenizer: PreTrainedTokenizerFast, chunking: Chunking
) -> None:
    for texts in ([], [""]):
        with pytest.raises(InputError, match="no text has two tokens"):
            make_rows(texts, tokenizer, 16, chunking)
    for template in ("$A", "<s> $A"):  # nor is there anything to learn between <s> and </s>
        changed = with_template(tokenizer, template)
        assert len(make_rows(["", TEXTS[0]], changed, 64, "documents")) == 1


def test_unique_rows_keep_their_order() -> None:
    assert unique_rows([[3, 4], [1, 2], [3, 4], [1], [1, 2]]) == [[3, 4], [1, 2], [1]]


def test_collate_masks_padding() -> None:
    batch = collate([[5, 0, 7], [8]], pad_id=0)
    assert batch["input_ids"].tolist() == [[5, 0, 7], [8, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    # A true token 0 counts, though padding has its id.
    assert batch["labels"].tolist() == [[5, 0, 7], [8, IGNORED, IGNORED]]
    assert {tensor.dtype for tensor in batch.values()} == {torch.int64}


def test_pad_id(tokenizer: PreTrainedTokenizerFast) -> None:
    changed = copy.deepcopy(tokenizer)
    assert pad_id(changed) == tokenizer.pad_token_id
    changed.pad_token = None
    assert pad_id(changed) == tokenizer.eos_token_id
    changed.eos_token = None
    assert pad_id(changed) == 0
