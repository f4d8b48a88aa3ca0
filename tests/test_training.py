"""Rows, references, adapters and runs: what training does, and that a killed run goes on."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qunlearn.errors import InputError
from qunlearn.settings import (
    Adapter,
    Chunking,
    ModelSettings,
    Objective,
    TrainSettings,
    UnlearnSettings,
)
from qunlearn.training.adapters import merge, weight_dtype, with_adapter
from qunlearn.training.finetune import finetune, shuffled_passes
from qunlearn.training.losses import causal_lm, head_weight, hidden_states
from qunlearn.training.reference import AdapterOff, CachedStates, row_nll
from qunlearn.training.rows import IGNORED, collate, make_rows, pad_id, unique_rows
from qunlearn.training.scratch import new_llama, train_tokenizer
from qunlearn.training.trainer import Diverged, RepeatableTrainer, arguments, last_checkpoint
from qunlearn.training.unlearn import draw_pairs, unlearn

PAD = 0
VOCABULARY = 60
TEXTS = [f"The {noun} of {place} is old." for noun in ("mill", "inn") for place in ("Orr", "Ense")]
TRAINING = TrainSettings(
    epochs=4, lr=1e-2, warmup=2, batch_size=2, max_tokens=16, log_every=2, checkpoint_every=4
)
UNLEARNING = UnlearnSettings(
    lr=1e-3, epochs=2, batch_size=4, rank=4, lora_alpha=8.0, log_every=2, checkpoint_every=4
)
full_precision = partial(torch.autocast, "cpu", dtype=torch.bfloat16, enabled=False)
mixed_precision = partial(torch.autocast, "cpu", dtype=torch.bfloat16)


@pytest.fixture(autouse=True)
def _leave_autocast_as_it_was() -> Any:
    """A context that is entered twice could leave autocast on for all that follows."""
    yield
    assert not torch.is_autocast_enabled("cpu")


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,
            tie_word_embeddings=False,
        )
    )


def random_rows(count: int, seed: int) -> list[list[int]]:
    """Rows of 5 to 12 tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 13, (count,), generator=generator).tolist()
    return [torch.randint(VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


FORGET, RETAIN = random_rows(12, seed=1), random_rows(10, seed=2)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, ModelSettings(vocabulary=300, context=64))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bitwise."""
    return first.keys() == second.keys() and all(
        torch.equal(weight, second[name]) for name, weight in first.items()
    )


def logits(model: nn.Module, rows: list[list[int]]) -> Tensor:
    """Of all true positions of `rows`, [positions, vocabulary]; transformers' own forward pass."""
    batch = collate(rows, PAD)
    with torch.no_grad():
        output = causal_lm(model)(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        )
    return output.logits[batch["attention_mask"].bool()]


# --- Rows ------------------------------------------------------------------------------------


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
    with pytest.raises(InputError, match="no text has two tokens"):
        make_rows([""], tokenizer, 16, chunking)
    kept = make_rows(["", TEXTS[0]], tokenizer, 64, "documents")
    assert len(kept) == 1  # the empty text's lone end token predicts nothing


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


# --- Order -----------------------------------------------------------------------------------


def test_passes_are_shuffled_anew_and_repeatable() -> None:
    order = shuffled_passes(7, 17, seed=3)
    assert order == shuffled_passes(7, 17, seed=3)
    assert order != shuffled_passes(7, 17, seed=4)
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7))
    assert order[:7] != order[7:14]
    assert len(order) == 17
    assert len(set(order[14:])) == 3
    assert shuffled_passes(7, 30, seed=3)[:17] == order  # a longer run starts the same


def test_pairs_pass_over_forget_and_draw_from_retain() -> None:
    pairs = draw_pairs(5, 3, 20, seed=0)
    assert pairs == draw_pairs(5, 3, 20, seed=0)
    assert pairs != draw_pairs(5, 3, 20, seed=1)
    assert [forget for forget, _ in pairs] == shuffled_passes(5, 20, seed=0)
    assert {retain for _, retain in pairs} == {0, 1, 2}


# --- Reference -------------------------------------------------------------------------------


def test_row_nll_is_that_of_transformers() -> None:
    model = tiny_llama()
    sums, counts = row_nll(model, FORGET, PAD, 5, full_precision)
    for index, row in enumerate(FORGET):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row]), labels=torch.tensor([row])).loss
        assert counts[index].item() == len(row) - 1
        assert sums[index].item() == pytest.approx(loss.item() * (len(row) - 1), rel=1e-5)


def test_row_nll_leaves_the_model_and_the_precision_as_they_were() -> None:
    model = with_adapter(tiny_llama(), "lora", replace(UNLEARNING, dropout=0.5), seed=0)
    wake(model)
    model.train()
    values = [row_nll(model, FORGET, PAD, 5, mixed_precision)[0] for _ in range(2)]
    assert torch.equal(*values)  # no dropout
    assert model.training
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    exact, _ = row_nll(model, FORGET, PAD, 5, full_precision)
    assert not torch.equal(values[0], exact)
    assert values[0].mean().item() == pytest.approx(exact.mean().item(), rel=0.02)


def wake(adapted: nn.Module) -> None:
    """Give LoRA's B matrices, which start at 0, values that matter."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cached_states_remember_the_untrained_model(dtype: torch.dtype, tmp_path: Path) -> None:
    model = tiny_llama().to(dtype)
    frozen = copy.deepcopy(model)
    picked = [3, 0, 7]
    rows = [RETAIN[index] for index in picked]
    # Batches of one, so that the cache and the frozen copy below compute the same shapes.
    reference = CachedStates(model, RETAIN, PAD, 1, full_precision, tmp_path / "a" / "reference")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    batch = collate(rows, PAD)
    hidden = reference.hidden(model, picked, batch)
    found = nn.functional.linear(hidden, reference.head(model))
    assert hidden.dtype == dtype
    for position, row in enumerate(rows):
        assert torch.equal(found[position, : len(row)], logits(frozen, [row]))
        assert not torch.allclose(found[position, : len(row)], logits(model, [row]), atol=1e-2)
        assert (hidden[position, len(row) :] == 0).all()
    assert (tmp_path / "a" / "reference").stat().st_size == 4 * 32 * sum(map(len, RETAIN))


def test_cached_states_do_not_depend_on_the_batch(tmp_path: Path) -> None:
    model = tiny_llama()
    batch = collate(RETAIN, PAD)
    one, many = (
        CachedStates(model, RETAIN, PAD, size, full_precision, tmp_path / f"{size}").hidden(
            model, range(len(RETAIN)), batch
        )
        for size in (1, 4)
    )
    assert torch.allclose(one, many, atol=1e-5)


def test_adapter_off_is_the_untrained_model() -> None:
    model = tiny_llama()
    frozen = copy.deepcopy(model).eval()
    adapted = with_adapter(model, "lora", UNLEARNING, seed=0)
    wake(adapted)
    adapted.train()
    batch = collate(RETAIN[:4], PAD)
    counted = batch["attention_mask"].bool()
    reference = AdapterOff(full_precision)
    hidden = reference.hidden(adapted, range(4), batch)
    found = nn.functional.linear(hidden, reference.head(adapted))[counted]
    assert not hidden.requires_grad
    assert torch.equal(found, logits(frozen, RETAIN[:4]))
    adapted.eval()  # and switched on again afterwards
    assert not torch.allclose(logits(adapted, RETAIN[:4]), found, atol=1e-2)


def test_adapter_off_inside_autocast_leaves_autocast_on() -> None:
    adapted = with_adapter(tiny_llama(), "lora", UNLEARNING, seed=0)
    with mixed_precision():
        AdapterOff(mixed_precision).hidden(adapted, range(4), collate(RETAIN[:4], PAD))
        assert torch.is_autocast_enabled("cpu")
    assert not torch.is_autocast_enabled("cpu")


# --- Adapters --------------------------------------------------------------------------------


def test_lora_is_on_every_linear_layer_but_the_head() -> None:
    model = tiny_llama()
    linear = {name for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    adapted = with_adapter(model, "lora", UNLEARNING, seed=0)
    trained = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    places = {name.removeprefix("base_model.model.").split(".lora_")[0] for name in trained}
    assert len(linear) == 2 * 7 + 1
    assert places == linear - {"lm_head"}
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    assert len(trained) == 2 * len(places)
    assert {min(weight.shape) for weight in trained.values()} == {UNLEARNING.rank}


def test_lora_starts_from_the_target_and_from_its_seed() -> None:
    start = logits(tiny_llama(), RETAIN)
    one, again, other = (
        with_adapter(tiny_llama(), "lora", UNLEARNING, seed=seed).eval() for seed in (0, 0, 1)
    )
    assert torch.equal(logits(one, RETAIN), start)
    assert same(weights(one), weights(again))
    assert not same(weights(one), weights(other))


def test_merging_is_what_the_algebra_says() -> None:
    model = tiny_llama()
    before = weights(model)
    adapted = with_adapter(model, "lora", UNLEARNING, seed=0)
    wake(adapted)
    trained = weights(adapted)
    error = merge(adapted, FORGET, PAD)
    assert 0 < error["relative"] < 1e-5
    assert error["max_abs"] < 1e-4
    merged = weights(model)
    assert merged.keys() == before.keys()
    for name, weight in before.items():
        layer = name.removesuffix(".weight")
        part = f"base_model.model.{layer}"
        if f"{part}.lora_A.default.weight" not in trained:
            assert torch.equal(merged[name], weight)
            continue
        product = (
            trained[f"{part}.lora_B.default.weight"] @ trained[f"{part}.lora_A.default.weight"]
        )
        assert torch.allclose(merged[name], weight + 8.0 / 4 * product, atol=1e-5)
        assert not torch.allclose(merged[name], weight, atol=1e-2)


def test_other_adapters_train_the_model_itself() -> None:
    model = tiny_llama()
    assert with_adapter(model, "full", UNLEARNING, seed=0) is model
    assert with_adapter(model, "full_bf16", UNLEARNING, seed=0) is model
    kinds: tuple[Adapter, ...] = ("full", "full_bf16", "lora")
    assert [weight_dtype(adapter) for adapter in kinds] == [
        torch.float32,
        torch.bfloat16,
        torch.float32,
    ]


def test_bf16_without_masters_keeps_weights_and_optimizer_in_bf16(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_llama().to(weight_dtype("full_bf16"))
    trainers = spied(monkeypatch)
    unlearn(model, PAD, FORGET, RETAIN, "npo_klr", "full_bf16", UNLEARNING, 0, tmp_path)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    states = trainers[0].optimizer.state.values()
    moments = [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
    assert len(moments) == 2 * len(list(model.parameters()))
    assert {moment.dtype for moment in moments} == {torch.bfloat16}


def spied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The trainers that are made from now on."""
    made: list[Any] = []
    original = RepeatableTrainer.__init__

    def init(self: RepeatableTrainer, *args: Any, **kwargs: Any) -> None:
        made.append(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(RepeatableTrainer, "__init__", init)
    return made


def test_full_trains_fp32_masters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_llama()
    trainers = spied(monkeypatch)
    unlearn(model, PAD, FORGET, RETAIN, "npo_gdr", "full", UNLEARNING, 0, tmp_path)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    moments = [state["exp_avg"] for state in trainers[0].optimizer.state.values()]
    assert {moment.dtype for moment in moments} == {torch.float32}


def test_optimizer_has_no_weight_decay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainers = spied(monkeypatch)
    unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga_gdr", "full", UNLEARNING, 0, tmp_path)
    optimizer = trainers[0].optimizer
    assert type(optimizer.optimizer) is torch.optim.AdamW  # under accelerate's wrapper
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}
    assert {group["lr"] for group in optimizer.param_groups} == {UNLEARNING.lr}


# --- Runs ------------------------------------------------------------------------------------


def forget_nll(model: nn.Module) -> float:
    sums, counts = row_nll(model, FORGET, PAD, 4, full_precision)
    return (sums.sum() / counts.sum()).item()


@pytest.mark.parametrize(
    ("objective", "adapter"),
    [
        ("ga", "full"),
        ("npo", "lora"),
        ("ga_gdr", "full_bf16"),
        ("ga_klr", "lora"),
        ("npo_gdr", "full"),
        ("npo_klr", "full_bf16"),
    ],
)
def test_unlearning_raises_the_forget_nll(
    objective: Objective, adapter: Adapter, tmp_path: Path
) -> None:
    settings = replace(UNLEARNING, epochs=4, lr=5e-3)
    model = with_adapter(tiny_llama().to(weight_dtype(adapter)), adapter, settings, seed=0)
    before = forget_nll(model)
    log = unlearn(model, PAD, FORGET, RETAIN, objective, adapter, settings, 0, tmp_path)
    assert forget_nll(model) > before + 0.3
    looks = {line["step"]: line["nll_forget"] for line in log if "nll_forget" in line}
    assert list(looks) == [2, 4, 6, 8, 10, 12]  # 12 rows * 4 epochs / 4 rows
    assert looks[12] == pytest.approx(forget_nll(model), rel=0.02)
    losses = [line for line in log if "loss" in line]
    assert [line["step"] for line in losses] == list(looks)
    for line in losses:
        assert ("loss_retain" in line) == ("_" in objective)
        whole = line["loss_forget"] + line.get("loss_retain", 0.0)  # gamma = alpha = 1
        assert line["loss"] == pytest.approx(whole, abs=2e-3)


def test_weights_of_the_terms(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, gamma=0.5, alpha=3.0)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga_gdr", "full", settings, 0, tmp_path)
    line = next(line for line in log if "loss" in line)
    whole = 0.5 * line["loss_forget"] + 3.0 * line["loss_retain"]
    assert line["loss"] == pytest.approx(whole, abs=2e-3)


def test_first_losses_are_those_of_the_untrained_model(tmp_path: Path) -> None:
    """NPO starts at 2/beta ln 2 and KLR at 0, under dropout-free autocast alike."""
    settings = replace(UNLEARNING, lr=1e-12, epochs=1, log_every=1, checkpoint_every=1)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "npo_klr", "full", settings, 0, tmp_path)
    lines = [line for line in log if "loss" in line]
    assert len(lines) == 3
    for line in lines:
        assert line["loss_forget"] == pytest.approx(2 / 0.1 * 0.6931472, rel=5e-3)
        assert line["loss_retain"] == pytest.approx(0.0, abs=1e-3)


def test_micro_batches_make_the_same_update(tmp_path: Path) -> None:
    """Rows of one length, so that a mean of means is the mean."""
    forget, retain = ([row[:5] for row in rows] for rows in (FORGET, RETAIN))
    settings = replace(UNLEARNING, autocast=False)
    found = []
    for micro in (0, 2):
        model = tiny_llama()
        whose = replace(settings, micro_batch_size=micro)
        checkpoints = tmp_path / str(micro)
        log = unlearn(model, PAD, forget, retain, "npo_klr", "full", whose, 0, checkpoints)
        found.append((weights(model), log))
    for name, weight in found[0][0].items():
        assert torch.allclose(weight, found[1][0][name], atol=1e-5)
    assert [line["step"] for line in found[0][1]] == [line["step"] for line in found[1][1]]


def test_micro_batches_must_divide_the_batch(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, micro_batch_size=3)
    with pytest.raises(InputError, match="micro_batch_size 3 does not divide batch_size 4"):
        unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path)


def test_the_stop_rule_ends_a_run(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, epochs=100, lr=5e-3, stop_nll=6.0)
    model = tiny_llama()
    assert forget_nll(model) < 6.0
    log = unlearn(model, PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path)
    *below, last = [line["nll_forget"] for line in log if "nll_forget" in line]
    assert below
    assert max(below) < 6.0 <= last
    assert log[-1]["step"] < 300 == 100 * 12 // 4
    assert forget_nll(model) == pytest.approx(last, rel=0.02)


def test_a_stopped_run_that_goes_on_stops_there_again(tmp_path: Path) -> None:
    """A kill between the stop and the output must not push the model further."""
    settings = replace(UNLEARNING, epochs=100, lr=5e-3, stop_nll=6.0, checkpoint_every=2)
    models, logs = [], []
    for _ in range(2):
        models.append(tiny_llama())
        logs.append(unlearn(models[-1], PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path))
        kept = [path.name for path in tmp_path.glob("checkpoint-*")]
        assert kept == [f"checkpoint-{logs[-1][-1]['step'] - 2}"]
    assert logs[0] == logs[1]
    assert same(weights(models[0]), weights(models[1]))


def test_no_stop_rule_no_stop(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, stop_nll=0.0, lr=5e-2)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path)
    assert log[-1]["step"] == 6


@pytest.mark.parametrize("stop_nll", [0.0, 6.0])
@pytest.mark.parametrize("log_every", [1, 2])
def test_a_run_that_diverges_says_so_with_its_log(
    log_every: int, stop_nll: float, tmp_path: Path
) -> None:
    """Also when the stop rule looks at the ruined model before the next loss does."""
    settings = replace(UNLEARNING, lr=1e30, log_every=log_every, stop_nll=stop_nll)
    with pytest.raises(Diverged, match=r"nan at update 2|nan after update 1") as caught:
        unlearn(tiny_llama(), PAD, FORGET, RETAIN, "npo_gdr", "full", settings, 0, tmp_path)
    assert isinstance(caught.value.log, list)


def test_a_run_that_its_last_update_ruins_diverges(tmp_path: Path) -> None:
    """Its weights are finite and no loss comes after them, yet its logits overflow."""
    settings = replace(UNLEARNING, lr=1e30, epochs=0.1)
    model = tiny_llama()
    with pytest.raises(Diverged, match="the forget NLL is nan after update 1"):
        unlearn(model, PAD, FORGET, RETAIN, "npo_gdr", "full", settings, 0, tmp_path)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_the_log_of_a_diverged_run_ends_where_it_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_update(monkeypatch, 4, lambda trainer: trainer.model.lm_head.weight.data.fill_(torch.inf))
    with pytest.raises(Diverged, match="at update 5") as caught:
        unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga_gdr", "full", UNLEARNING, 0, tmp_path)
    assert [line["step"] for line in caught.value.log if "loss" in line] == [2, 4]


def test_weights_that_overflow_in_the_last_update_diverge(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
    settings = replace(TRAINING, epochs=0.5, lr=1e39, warmup=0)  # beyond fp32
    with pytest.raises(Diverged, match="is not finite after the last update") as caught:
        finetune(model, tokenizer, TEXTS, settings, 0, tmp_path)
    assert caught.value.log == []


def test_training_learns_the_texts(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
    settings = replace(TRAINING, epochs=20)
    log = finetune(model, tokenizer, TEXTS, settings, 0, tmp_path)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[0] > 5  # ln 300 = 5.7
    assert losses[-1] < 1.5
    rates = [line["learning_rate"] for line in log if "learning_rate" in line]
    # Half a cosine from the end of the warm-up; the last line has the rate of the last update.
    assert max(rates) <= settings.lr
    assert rates[0] > rates[-1]
    assert rates[-1] < 1e-4
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}


# --- Checkpoints -----------------------------------------------------------------------------


def test_log_and_checkpoints_must_agree(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="checkpoint_every 5 is not a multiple of log_every 2"):
        arguments(
            tmp_path,
            updates=1,
            lr=1.0,
            schedule="constant",
            warmup=0,
            batch_size=1,
            accumulation=1,
            clip=1.0,
            log_every=2,
            checkpoint_every=5,
            seed=0,
        )


def test_last_checkpoint_deletes_what_a_kill_left(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "absent") is None
    states = {5: '{"global_step": 5}', 90: '{"global_step": 90}', 100: '{"global_', 110: None}
    for update, state in states.items():
        folder = tmp_path / f"checkpoint-{update}"
        folder.mkdir()
        (folder / "model.safetensors").touch()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    # 90 is newer than 5, though "5" sorts after "9" as text.
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-90")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-90"]


def at_update(
    monkeypatch: pytest.MonkeyPatch, update: int, act: Callable[[RepeatableTrainer], Any]
) -> None:
    """Call `act` in the place of a power cut: before the forward pass after `update` updates."""
    original = RepeatableTrainer.training_step
    acted: list[int] = []

    def step(self: RepeatableTrainer, *args: Any, **kwargs: Any) -> Tensor:
        if self.state.global_step == update and not acted:
            acted.append(update)
            act(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(RepeatableTrainer, "training_step", step)


def kill(trainer: RepeatableTrainer) -> None:
    raise KeyboardInterrupt


def check_resumption(
    run: Callable[[Path], tuple[nn.Module, list[dict[str, Any]]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    killed_at: int,
    spoil: bool = False,
) -> None:
    """`run`, killed and started again in the same folder, ends as it does undisturbed."""
    undisturbed, whole_log = run(tmp_path / "undisturbed")
    folder = tmp_path / "killed"
    with monkeypatch.context() as patch:
        at_update(patch, killed_at, kill)
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert [path.name for path in folder.glob("checkpoint-*")] == ["checkpoint-4"]
    if spoil:
        broken = folder / "checkpoint-8"
        broken.mkdir()
        (broken / "model.safetensors").write_bytes(b"half")
    steps: list[int] = []
    with monkeypatch.context() as patch:
        original = RepeatableTrainer.training_step

        def step(self: RepeatableTrainer, *args: Any, **kwargs: Any) -> Tensor:
            steps.append(self.state.global_step)
            return original(self, *args, **kwargs)

        patch.setattr(RepeatableTrainer, "training_step", step)
        torch.manual_seed(99)  # another process would be in another state
        resumed, log = run(folder)
    assert steps[0] == 4
    assert same(weights(undisturbed), weights(resumed))
    assert log == whole_log
    assert json.dumps(log)


def test_a_killed_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tokenizer: PreTrainedTokenizerFast
) -> None:
    def run(folder: Path) -> tuple[nn.Module, list[dict[str, Any]]]:
        model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
        settings = replace(TRAINING, epochs=3.5)  # 7 updates: the last one is not logged
        return model, finetune(model, tokenizer, TEXTS, settings, 1, folder)

    check_resumption(run, tmp_path, monkeypatch, killed_at=6, spoil=True)


@pytest.mark.parametrize(
    ("objective", "adapter", "micro"),
    [
        ("npo_klr", "full", 0),
        ("npo_klr", "lora", 2),
        ("ga_gdr", "lora", 0),
        ("npo_gdr", "full_bf16", 0),
    ],
)
def test_a_killed_unlearning_goes_on(
    objective: Objective,
    adapter: Adapter,
    micro: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(UNLEARNING, micro_batch_size=micro, epochs=7 / 3)
    assert settings.dropout == 0.05

    def run(folder: Path) -> tuple[nn.Module, list[dict[str, Any]]]:
        model = with_adapter(tiny_llama().to(weight_dtype(adapter)), adapter, settings, seed=1)
        log = unlearn(model, PAD, FORGET, RETAIN, objective, adapter, settings, 1, folder)
        return model, log

    check_resumption(run, tmp_path, monkeypatch, killed_at=5)


def test_seeds_differ(tmp_path: Path) -> None:
    found = []
    for seed in (0, 0, 1):
        model = tiny_llama()
        folder = tmp_path / str(len(found))
        unlearn(model, PAD, FORGET, RETAIN, "npo_gdr", "full", UNLEARNING, seed, folder)
        found.append(weights(model))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_losses_are_taken_under_the_adapter() -> None:
    """The wrapper's hidden states are those of the adapted model, times its own head."""
    adapted = with_adapter(tiny_llama(), "lora", UNLEARNING, seed=0).eval()
    wake(adapted)
    batch = collate(RETAIN, PAD)
    with torch.no_grad():
        found = nn.functional.linear(hidden_states(adapted, batch), head_weight(adapted))
    assert torch.equal(found[batch["attention_mask"].bool()], logits(adapted, RETAIN))
