"""Adapters: what of a model is trained, in which precision, and how it is merged."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import FORGET, PAD, RETAIN, UNLEARNING, logits, same, tiny_llama, wake, weights
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.settings.unlearning import Adapter, Targets
from qunlearn.training.adapters import merge, weight_dtype, with_adapter
from qunlearn.training.losses import head_weight, hidden_states
from qunlearn.training.rows import collate
from qunlearn.training.trainer import RepeatableTrainer
from qunlearn.training.unlearn import unlearn

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


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


@pytest.mark.parametrize(
    ("targets", "names"),
    [("qv", {"q_proj", "v_proj"}), ("odu", {"o_proj", "down_proj", "up_proj"})],
)
def test_lora_on_some_layers(targets: Targets, names: set[str]) -> None:
    settings = replace(UNLEARNING, targets=targets)
    adapted = with_adapter(tiny_llama(), "lora", settings, seed=0)
    trained = [name for name, weight in adapted.named_parameters() if weight.requires_grad]
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == names
    assert len(trained) == 2 * 2 * len(names)  # A and B, in two layers


@pytest.mark.parametrize("targets", ["all", "odu"])
def test_the_layers_are_saved_in_one_order(targets: Targets, tmp_path: Path) -> None:
    """peft has them in a set, whose order is another in each process."""
    adapted = with_adapter(tiny_llama(), "lora", replace(UNLEARNING, targets=targets), seed=0)
    adapted.save_pretrained(tmp_path)
    names = read_json(tmp_path / "adapter_config.json")["target_modules"]
    assert names == sorted(names)
    assert len(names) == {"all": 14, "odu": 3}[targets]


def test_layers_that_the_model_lacks() -> None:
    model = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(InputError, match="targets qv: the model has no layers named q_proj, v_pr"):
        with_adapter(model, "lora", replace(UNLEARNING, targets="qv"), seed=0)


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


def test_losses_are_taken_under_the_adapter() -> None:
    """The wrapper's hidden states are those of the adapted model, times its own head."""
    adapted = with_adapter(tiny_llama(), "lora", UNLEARNING, seed=0).eval()
    wake(adapted)
    batch = collate(RETAIN, PAD)
    with torch.no_grad():
        found = nn.functional.linear(hidden_states(adapted, batch), head_weight(adapted))
    assert torch.equal(found[batch["attention_mask"].bool()], logits(adapted, RETAIN))
