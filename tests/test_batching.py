"""Batches: by number, in halves when memory is short; and answers that do not care."""

import copy
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from talking_models import TEXTS, greedy_by_hand, model, small_corpus, tokenizer
from torch import nn
from transformers.cache_utils import DynamicLayer

from qunlearn.evaluate import batching
from qunlearn.evaluate.batching import run_in_batches
from qunlearn.evaluate.evaluate import Evaluation
from qunlearn.evaluate.generate import _InPlace, continuations
from qunlearn.evaluate.onednn import quick_products
from qunlearn.evaluate.prompts import cut_answer, is_answered
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import BatchSize, EvaluateSettings

SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    MemoryError(),
]
CONFIG = SimpleNamespace(get_text_config=lambda: SimpleNamespace(vocab_size=5))
SHAPE: Any = SimpleNamespace(dtype=torch.float32, device=torch.device("cpu"), config=CONFIG)


def batches_of(
    lengths: list[int],
    size: BatchSize,
    run: Callable[[list[int]], None] = lambda batch: None,
    **how: Any,
) -> list[list[int]]:
    """The batches that went through."""
    batches: list[list[int]] = []

    def note(batch: list[int]) -> None:
        run(batch)
        batches.append(batch)

    run_in_batches(lengths, size, SHAPE, note, title="t", **how)
    return batches


def refuse_more_than(rows: int, error: Exception) -> Callable[[list[int]], None]:
    def run(batch: list[int]) -> None:
        if len(batch) > rows:
            raise error

    return run


def test_rows_of_similar_length_share_a_batch_and_the_longest_come_first() -> None:
    assert batches_of([3, 9, 3, 7, 8], 2) == [[1, 4], [3, 0], [2]]
    most = batching.MOST_ROWS["cpu"]
    assert [len(batch) for batch in batches_of([1] * 40, "auto")] == [most, 40 - most]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_what_does_not_fit_is_run_again_in_halves_and_nothing_twice(error: Exception) -> None:
    batches = batches_of([5] * 20, "auto", refuse_more_than(6, error))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5]  # 20, 10, 5
    assert sorted(index for batch in batches for index in batch) == list(range(20))


def test_shorter_rows_are_more_again_after_a_shortage() -> None:
    lengths = [100] * 4 + [25] * 10

    def run(batch: list[int]) -> None:
        if sum(lengths[index] for index in batch) > 250:
            raise MemoryError

    assert [len(batch) for batch in batches_of(lengths, "auto", run)] == [1] * 4 + [4, 4, 2]


def test_what_cannot_be_run_is_one_line() -> None:
    with pytest.raises(InputError, match=r"for 1 rows of 7 tokens; .*evaluate\.shots"):
        batches_of([7] * 4, "auto", refuse_more_than(0, MemoryError()))
    with pytest.raises(InputError, match=r"for 3 rows of 7 tokens; set batch_size to auto"):
        batches_of([7] * 4, 3, refuse_more_than(2, MemoryError()))
    with pytest.raises(RuntimeError, match="shapes"):
        batches_of([7], "auto", refuse_more_than(0, RuntimeError("shapes do not match")))


def test_the_logits_of_texts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """2000 bytes at 8 * 5 bytes a token: two rows of 20 tokens, five of 10."""
    monkeypatch.setattr(batching, "MOST_LOGITS", 2000)
    batches = batches_of([20, 20, *[10] * 6], 8, scored=True)
    assert [len(batch) for batch in batches] == [2, 5, 1]


# --- Answers do not depend on the batch ------------------------------------------------------

BEGINNINGS = {
    "no prefix": "",
    "a shared prefix": "Question: one?\nAnswer: two\n\nQuestion: three?\nAnswer: four\n\n",
}
SIXTEEN = [
    *TEXTS,
    *(" ".join(TEXTS[k:] + TEXTS[:k])[: 40 * k + 9] for k in range(1, 4)),
    *(text[4:] + "xx" for text in TEXTS[:6]),
]


@pytest.mark.parametrize("beginning", BEGINNINGS.values(), ids=BEGINNINGS)
@pytest.mark.parametrize("ends", ["never", "often"])
def test_the_same_tokens_alone_and_among_sixteen(beginning: str, ends: str) -> None:
    """Prompts of 1 to 100 tokens, an end token inside or not; against a loop without a cache."""
    own = copy.deepcopy(model)
    if ends == "often":
        own.lm_head.weight.data[tokenizer.eos_token_id] *= 4.0
    prompts = [beginning + text for text in SIXTEEN]
    lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    assert max(lengths) - min(lengths) > 50
    alone, among = (
        continuations(own, tokenizer, prompts, new_tokens=20, batch_size=size) for size in (1, 16)
    )
    assert alone == among
    assert alone == [greedy_by_hand(own, tokenizer, prompt, 20) for prompt in prompts]
    if ends == "often":
        assert len({len(tokenizer(text)["input_ids"]) for text in alone}) > 3


def test_the_same_answers_alone_and_among_sixteen() -> None:
    """With stop strings, which end the rows of a batch at different steps."""
    ended, cut = partial(is_answered, prompt="plain"), partial(cut_answer, prompt="plain")
    prompts = [f"Ask: {text}\nAnswer:" for text in SIXTEEN]
    alone, among = (
        continuations(model, tokenizer, prompts, new_tokens=30, batch_size=size, finished=ended)
        for size in (1, 16)
    )
    assert alone == among
    assert len({len(text) for text in alone}) > 3
    whole = [greedy_by_hand(model, tokenizer, prompt, 30) for prompt in prompts]
    assert [cut(text) for text in alone] == [cut(text) for text in whole]
    assert all(long.startswith(short) for short, long in zip(alone, whole, strict=True))
    assert sum(len(short) < len(long) for short, long in zip(alone, whole, strict=True)) >= 3


def test_a_shortage_in_an_evaluation_changes_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = EvaluateSettings(
        batch_size="auto", verbmem_tokens=6, knowmem_tokens=6, shots=2, max_tokens=20
    )
    evaluation = Evaluation(model, tokenizer, small_corpus(), settings)
    expected = evaluation.records()
    short = model.generate
    refused: list[int] = []

    def generate_few(**arguments: torch.Tensor) -> object:
        if len(arguments["input_ids"]) > 2:
            refused.append(len(arguments["input_ids"]))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return short(**arguments)

    monkeypatch.setattr(model, "generate", generate_few)
    assert evaluation.records() == expected
    assert refused == [7, 3, 5]  # of VerMem's 7 prompts, and of 5 questions


# --- Products by another library ---------------------------------------------------------------


@pytest.mark.parametrize("capability", ["AVX512", "AVX2"])
def test_only_plain_float32_layers_change_and_only_within_the_block(
    monkeypatch: pytest.MonkeyPatch, capability: str
) -> None:
    class Quantized(nn.Linear):
        pass

    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    layers = nn.Sequential(nn.Linear(300, 40), nn.Linear(40, 7, bias=False), Quantized(7, 7))
    layers.append(nn.Linear(7, 7).bfloat16())
    states, before = torch.randn(3, 5, 300), [type(layer) for layer in layers]
    with torch.inference_mode():
        plain = layers[:3](states)
        with quick_products(layers):
            changed = [type(layer) is not old for layer, old in zip(layers, before, strict=True)]
            quick = layers[:3](states)
    assert changed == [capability == "AVX512"] * 2 + [False] * 2
    torch.testing.assert_close(quick, plain, atol=1e-6, rtol=1e-5)
    assert [type(layer) for layer in layers] == before


def test_the_cache_in_place_holds_what_transformers_own_holds() -> None:
    """With a shared beginning and without one; the rows' tokens in pieces of 3, 1 and 1."""
    beginning, rows = torch.randn(1, 2, 4, 8), torch.randn(6, 2, 5, 8)
    for shared in (True, False):
        own, prefix = DynamicLayer(), DynamicLayer()
        if shared:
            own.update(beginning.expand(6, -1, -1, -1), -beginning.expand(6, -1, -1, -1))
            prefix.update(beginning, -beginning)
        ours = _InPlace(prefix, 6, 9)
        for piece in rows.split((3, 1, 1), dim=2):
            assert ours.get_seq_length() == own.get_seq_length()
            for mine, theirs in zip(
                ours.update(piece, -piece), own.update(piece, -piece), strict=True
            ):
                assert torch.equal(mine, theirs)
