"""Batches: by number, by memory, in halves when memory is short; and answers that do not care."""

import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from talking_models import TEXTS, greedy_by_hand, small_corpus, talking_model, talking_tokenizer
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from qunlearn.evaluate import batching, reach, records
from qunlearn.evaluate import evaluate as evaluation
from qunlearn.evaluate.batching import BatchLog, RowCost, ask_in_batches
from qunlearn.evaluate.generate import continuations
from qunlearn.evaluate.likelihood import token_logprobs
from qunlearn.evaluate.prompts import cut_answer, is_answered
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import BatchSize, EvaluateSettings

CPU = torch.device("cpu")
COST = RowCost(cache=10, work=0, logits=0, new=0)
SHORTAGES = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    MemoryError(),
]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return talking_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    return talking_model(tokenizer)


def asked(
    lengths: list[int],
    size: BatchSize,
    cost: RowCost = COST,
    ask: Callable[[list[int]], None] = lambda batch: None,
) -> tuple[list[list[int]], BatchLog]:
    """The batches that went through, and the log."""
    batches: list[list[int]] = []
    log = BatchLog()

    def note(batch: list[int]) -> None:
        ask(batch)
        batches.append(batch)

    ask_in_batches(lengths, size, cost, CPU, note, title="t", unit="row", log=log)
    return batches, log


def refuse_more_than(rows: int, error: Exception) -> Callable[[list[int]], None]:
    def ask(batch: list[int]) -> None:
        if len(batch) > rows:
            raise error

    return ask


def test_rows_of_similar_length_share_a_batch_and_the_longest_come_first() -> None:
    batches, log = asked([3, 9, 3, 7, 8], 2)
    assert batches == [[1, 4], [3, 0], [2]]
    assert log == BatchLog(largest=2, batches=3, halved=0)


def test_auto_takes_as_many_rows_as_the_free_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 % of 1000 bytes at 10 bytes a token: one row of 50 tokens, two of 40, eight of 10."""
    monkeypatch.setattr(batching, "free_bytes", lambda device: 1000)
    batches, _ = asked([50, 40, 40, *[10] * 10], "auto")
    assert [len(batch) for batch in batches] == [1, 2, 8, 2]


def test_auto_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "free_bytes", lambda device: 10**12)
    batches, _ = asked([1] * 40, "auto")
    assert [len(batch) for batch in batches] == [batching.MOST_ROWS["cpu"], 8]


def test_a_row_that_should_not_fit_is_tried_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "free_bytes", lambda device: 5)
    assert asked([1, 1], "auto")[0] == [[0], [1]]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda error: type(error).__name__)
def test_what_does_not_fit_is_asked_again_in_halves_and_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(batching, "free_bytes", lambda device: 10**9)
    batches, log = asked([5] * 20, "auto", ask=refuse_more_than(6, error))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5]  # 20, 10, 5
    assert sorted(index for batch in batches for index in batch) == list(range(20))
    assert log == BatchLog(largest=5, batches=4, halved=2)


def test_shorter_rows_are_more_again_after_a_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "free_bytes", lambda device: 10**9)
    lengths = [100] * 4 + [25] * 10

    def ask(batch: list[int]) -> None:
        if sum(lengths[index] for index in batch) > 250:
            raise MemoryError

    assert [len(batch) for batch in asked(lengths, "auto", ask=ask)[0]] == [1] * 4 + [4, 4, 2]


def test_at_one_row_it_is_given_up_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "free_bytes", lambda device: 10**9)
    with pytest.raises(InputError, match=r"t: .* single row of 7 tokens; lower evaluate\.shots"):
        asked([7] * 4, "auto", ask=refuse_more_than(0, MemoryError()))


def test_a_number_of_rows_is_not_changed_behind_the_users_back() -> None:
    with pytest.raises(InputError, match=r"3 rows of 7 tokens; lower evaluate\.batch_size from 3"):
        asked([7] * 4, 3, ask=refuse_more_than(2, MemoryError()))


def test_another_error_is_not_taken_for_a_shortage() -> None:
    with pytest.raises(RuntimeError, match="shapes"):
        asked([7], "auto", ask=refuse_more_than(0, RuntimeError("shapes do not match")))


def test_the_logits_of_texts_are_bounded_whatever_the_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """100 bytes at 2 bytes a token: two rows of 20 tokens (80), five of 10."""
    monkeypatch.setattr(batching, "MOST_LOGITS", 100)
    scored = RowCost(cache=0, work=0, logits=2)
    assert [len(batch) for batch in asked([20, 20, *[10] * 6], 8, scored)[0]] == [2, 5, 1]


def test_the_cost_of_a_row_by_hand(model: LlamaForCausalLM) -> None:
    """2 layers, 2 KV heads of 16, hidden 64, MLP 128, float32; a row of 30 tokens."""
    vocabulary = model.config.vocab_size
    scored = RowCost.of(model)
    assert scored.bytes(30) == 30 * (4 * (64 + 128) * 4 + 8 * vocabulary)
    generated = RowCost.of(model, shared=20, new=5)
    cache = 2 * 2 * 2 * 16 * 4
    assert generated.bytes(30) == 35 * cache + 10 * 4 * (64 + 128) * 4 + 8 * vocabulary


def test_cache_bytes_of_llama_2_7b() -> None:
    """Half a MiB a token in bf16, as it is widely quoted."""
    from transformers import LlamaConfig

    with torch.device("meta"):
        large = LlamaForCausalLM(LlamaConfig()).to(torch.bfloat16)
    assert RowCost.of(large).cache == 2**19


def test_memory_that_is_free_is_less_than_all() -> None:
    assert 2**20 < batching.free_bytes(CPU) < 2**50


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
def test_the_same_tokens_alone_and_among_sixteen(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, beginning: str, ends: str
) -> None:
    """Prompts of 1 to 100 tokens, an end token inside or not; against a loop without a cache."""
    if ends == "often":
        model = copy.deepcopy(model)
        model.lm_head.weight.data[tokenizer.eos_token_id] *= 4.0
    prompts = [beginning + text for text in SIXTEEN]
    lengths = [len(tokenizer(prompt)["input_ids"]) for prompt in prompts]
    assert max(lengths) - min(lengths) > 50
    outputs = {
        size: continuations(model, tokenizer, prompts, new_tokens=20, batch_size=size)
        for size in (1, 16, "auto")
    }
    assert outputs[1] == outputs[16] == outputs["auto"]
    assert outputs[1] == [greedy_by_hand(model, tokenizer, prompt, 20) for prompt in prompts]
    if ends == "often":
        assert len({len(tokenizer(text)["input_ids"]) for text in outputs[1]}) > 3


def test_the_same_answers_alone_and_among_sixteen(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    """With stop strings, which end the rows of a batch at different steps."""
    ended, cut = partial(is_answered, prompt="plain"), partial(cut_answer, prompt="plain")
    prompts = [f"Ask: {text}\nAnswer:" for text in SIXTEEN]
    alone, among = (
        continuations(model, tokenizer, prompts, new_tokens=30, batch_size=size, finished=ended)
        for size in (1, 16)
    )
    assert alone == among
    assert len({len(text) for text in alone}) > 3
    whole = [cut(greedy_by_hand(model, tokenizer, prompt, 30)) for prompt in prompts]
    assert [cut(text) for text in alone] == whole


def test_the_same_likelihoods_alone_and_among_sixteen(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast
) -> None:
    alone, among = (
        token_logprobs(model, tokenizer, SIXTEEN, batch_size=size, max_tokens=200)
        for size in (1, 16)
    )
    for one, other in zip(alone, among, strict=True):
        torch.testing.assert_close(
            torch.from_numpy(one), torch.from_numpy(other), atol=1e-5, rtol=0
        )


def test_likelihoods_come_from_the_device_once_a_batch(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[torch.Size] = []
    original = torch.Tensor.numpy

    def numpy(tensor: torch.Tensor, **arguments: bool) -> object:
        moved.append(tensor.shape)
        return original(tensor, **arguments)

    monkeypatch.setattr(torch.Tensor, "numpy", numpy)
    for name in ("item", "tolist", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, None)
    token_logprobs(model, tokenizer, TEXTS, batch_size=4, max_tokens=20)
    assert [shape[0] for shape in moved] == [4, 3]


def test_a_shortage_in_the_middle_of_an_evaluation_changes_no_record(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EvaluateSettings(
        batch_size="auto", verbmem_tokens=6, knowmem_tokens=6, shots=2, max_tokens=20
    )
    expected = records.ask(model, tokenizer, small_corpus(), settings)
    short = model.generate

    def generate_few(**arguments: torch.Tensor) -> object:
        if len(arguments["input_ids"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return short(**arguments)

    monkeypatch.setattr(model, "generate", generate_few)
    logs = {name: BatchLog() for name in records.FIELDS}
    assert records.ask(model, tokenizer, small_corpus(), settings, logs) == expected
    assert logs[records.VERBMEM] == BatchLog(largest=1, batches=7, halved=2)  # 7, 3, 1
    assert logs[records.PRIVLEAK].halved == 0


@pytest.mark.parametrize(("precision", "size"), [("int8", 8), ("nf4", "auto")])
def test_int8_does_not_depend_on_what_memory_is_free(
    model: LlamaForCausalLM,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    precision: str,
    size: BatchSize,
) -> None:
    seen: list[BatchSize] = []

    def ask(*arguments: object) -> None:
        settings = arguments[3]
        assert isinstance(settings, EvaluateSettings)
        seen.append(settings.batch_size)

    monkeypatch.setattr(records, "ask", ask)
    monkeypatch.setattr(reach, "shortfalls", lambda *_: [])
    settings = EvaluateSettings(batch_size="auto")
    evaluation.evaluate_model(model, None, precision, small_corpus(), None, settings, tmp_path)  # type: ignore[arg-type]
    assert seen == [size]


def test_prefix_is_laid_into_the_batch_without_a_second_copy(model: LlamaForCausalLM) -> None:
    """The whole cache of a batch is the one buffer, and the prefix's own stays as it was."""
    from qunlearn.evaluate.prefix import Prefix

    with torch.inference_mode():
        prefix = Prefix(model, [5, 6, 7])
        first, second = prefix.cache(4, room=9), prefix.cache(2, room=5)
        layer = first.layers[0]
        assert layer.keys.shape == (4, 2, 3, 16)
        assert layer.keys.untyped_storage().nbytes() == 4 * 2 * 9 * 16 * 4
        ids = torch.tensor([[8, 9], [1, 2], [3, 4], [5, 5]])
        before = layer.keys.data_ptr()
        grown = model(input_ids=ids, past_key_values=first, use_cache=True).logits
        assert first.layers[0].keys.shape == (4, 2, 5, 16)
        assert first.layers[0].keys.data_ptr() == before
        assert second.get_seq_length() == 3
        whole = torch.cat([torch.tensor([[5, 6, 7]] * 4), ids], dim=1)
        torch.testing.assert_close(grown, model(input_ids=whole).logits[:, 3:], atol=1e-4, rtol=0)
