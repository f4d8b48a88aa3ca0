"""Variants of the update: what is trained, in which precision, beside what is remembered."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.optim import AdamW
from transformers import LlamaForCausalLM

from qunlearn.run.files import read_json
from qunlearn.settings.unlearning import Adapter, Targets
from qunlearn.training import products
from qunlearn.training.adapters import narrow_frozen, weight_dtype, with_adapter
from qunlearn.training.losses import head_weight, hidden_states, token_nll
from qunlearn.training.reference import cached_states, row_nll
from qunlearn.training.rounding import StochasticAdamW
from qunlearn.training.rows import collate
from qunlearn.training.trainer import RepeatableTrainer
from qunlearn.training.unlearn import unlearn

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


@pytest.mark.parametrize("targets", ["all", "qv", "odu"])
def test_lora_is_on_its_targets_saved_in_one_order(targets: Targets, tmp_path: Path) -> None:
    """peft has them in a set, whose order is another in each process."""
    model = tiny.tiny_llama()
    linear = {name for name, part in model.named_modules() if isinstance(part, nn.Linear)}
    adapted = with_adapter(model, "lora", replace(tiny.UNLEARNING, targets=targets), seed=0)
    trained = {name: weight for name, weight in adapted.named_parameters() if weight.requires_grad}
    places = {name.removeprefix("base_model.model.").split(".lora_")[0] for name in trained}
    names = {"qv": ["q_proj", "v_proj"], "odu": ["down_proj", "o_proj", "up_proj"]}
    if targets == "all":
        assert places == linear - {"lm_head"}
    else:
        assert {place.rpartition(".")[2] for place in places} == set(names[targets])
        adapted.save_pretrained(tmp_path)
        saved = read_json(tmp_path / "adapter_config.json")["target_modules"]
        assert saved == names[targets]
    assert {weight.dtype for weight in trained.values()} == {torch.float32}
    assert len(trained) == 2 * len(places)
    assert {min(weight.shape) for weight in trained.values()} == {tiny.UNLEARNING.rank}


def test_lora_starts_from_the_target_and_from_its_seed() -> None:
    one, again, other = (
        with_adapter(tiny.tiny_llama(), "lora", tiny.UNLEARNING, seed=seed).eval()
        for seed in (0, 0, 1)
    )
    assert torch.equal(tiny.logits(one, tiny.RETAIN), tiny.logits(tiny.tiny_llama(), tiny.RETAIN))
    assert tiny.same(tiny.weights(one), tiny.weights(again))
    assert not tiny.same(tiny.weights(one), tiny.weights(other))
    # Losses are taken under the adapter: the hidden states are the adapted model's.
    model, batch = adapted(tiny.tiny_llama()), collate(tiny.RETAIN)
    with torch.no_grad():
        found = nn.functional.linear(hidden_states(model, batch), head_weight(model))
    assert torch.equal(found[batch["attention_mask"].bool()], tiny.logits(model, tiny.RETAIN))


@pytest.fixture
def optimizers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Those that are made from now on."""
    made: list[Any] = []
    original = RepeatableTrainer.create_optimizer

    def create(self: RepeatableTrainer, *args: Any) -> Any:
        made.append(original(self, *args))
        return made[-1]

    monkeypatch.setattr(RepeatableTrainer, "create_optimizer", create)
    return made


@pytest.mark.parametrize(
    ("adapter", "dtype", "kind"),
    [
        ("full", torch.float32, AdamW),
        ("full_bf16", torch.bfloat16, AdamW),
        ("full_sr", torch.bfloat16, StochasticAdamW),
    ],
)
def test_weights_and_moments_of_adamw_without_decay(
    adapter: Adapter,
    dtype: torch.dtype,
    kind: type[AdamW],
    tmp_path: Path,
    optimizers: list[Any],
) -> None:
    """fp32 masters, or bf16 without any."""
    model = tiny.tiny_llama().to(weight_dtype(adapter))
    unlearn(model, tiny.FORGET, tiny.RETAIN, "npo_klr", adapter, tiny.UNLEARNING, 0, tmp_path)
    (optimizer,) = optimizers
    moments = [
        state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq")
    ]
    assert len(moments) == 2 * len(list(model.parameters()))
    assert {tensor.dtype for tensor in (*moments, *model.parameters())} == {dtype}
    assert type(optimizer) is kind
    assert {group["weight_decay"] for group in optimizer.param_groups} == {0.0}
    assert {group["lr"] for group in optimizer.param_groups} == {tiny.UNLEARNING.lr}


def test_moments_in_eight_bits(tmp_path: Path, optimizers: list[Any]) -> None:
    """Of tensors of 4096 weights and more; their updates are nearly those of AdamW."""
    found = []
    for whose in (tiny.UNLEARNING, replace(tiny.UNLEARNING, optimizer="adamw_8bit")):
        model = tiny.tiny_llama(vocabulary=160)
        start = model.lm_head.weight.detach().clone()  # 160 x 32
        unlearn(
            model, tiny.FORGET, tiny.RETAIN, "npo_gdr", "full", whose, 0, tmp_path / whose.optimizer
        )
        found.append(model.lm_head.weight - start)
    assert 0 < (found[1] - found[0]).norm() < 0.1 * found[0].norm()
    states = optimizers[1].state.values()
    moments = {state[name].dtype for state in states for name in ("state1", "state2")}
    assert moments == {torch.uint8, torch.float32}  # small tensors stay in fp32


# --- Frozen weights in bf16 beside an adapter --------------------------------------------------


def adapted(model: LlamaForCausalLM) -> nn.Module:
    found = with_adapter(model, "lora", replace(tiny.UNLEARNING, dropout=0.0), seed=0)
    tiny.wake(found)
    return found.eval()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    model.zero_grad()
    batch = collate(tiny.FORGET)
    with tiny.mixed_precision():
        hidden = hidden_states(model, batch)
        nll, mask = token_nll(hidden, head_weight(model), batch["labels"])
        loss = nll.sum() / mask.sum()
    loss.backward()
    found = {name: weight.grad for name, weight in model.named_parameters()}
    return {"loss": loss.detach()} | {
        name: gradient for name, gradient in found.items() if gradient is not None
    }


def dtypes(model: nn.Module) -> set[torch.dtype]:
    """Of linear layers, but for LoRA's own."""
    named = model.named_modules()
    parts = [part for name, part in named if isinstance(part, nn.Linear) and "lora" not in name]
    return {part.weight.dtype for part in parts}


def test_narrow_frozen_weights_change_no_number() -> None:
    model = adapted(tiny.tiny_llama().bfloat16().float())
    expected = gradients(model)
    narrow_frozen(model, torch.bfloat16)
    assert dtypes(model) == {torch.bfloat16}
    others = [weight for weight in model.parameters() if weight.requires_grad]
    assert {weight.dtype for weight in others} == {torch.float32}
    assert tiny.same(expected, gradients(model))


def test_weights_that_are_not_narrowed() -> None:
    """What bf16 would round, what is trained, and tied embeddings."""
    rounded, whole, tied = (tiny.tiny_llama() for _ in range(3))
    tied.bfloat16().float()
    tied.lm_head.weight = tied.model.embed_tokens.weight
    for model in (adapted(rounded), whole.bfloat16().float(), adapted(tied)):
        narrow_frozen(model, torch.bfloat16)
    assert dtypes(rounded) == dtypes(whole) == {torch.float32}
    assert tied.lm_head.weight.dtype == torch.float32
    assert tied.model.layers[0].mlp.up_proj.base_layer.weight.dtype == torch.bfloat16


# --- The model before unlearning, remembered ---------------------------------------------------


def test_row_nll_is_that_of_transformers() -> None:
    """Of rows that differ in length, in batches with padding."""
    model = tiny.tiny_llama()
    for row, nll, count in zip(
        tiny.FORGET, *row_nll(model, tiny.FORGET, 5, tiny.full_precision), strict=True
    ):
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([row]), labels=torch.tensor([row])).loss
        assert count.item() == len(row) - 1
        assert nll.item() == pytest.approx(loss.item() * (len(row) - 1), rel=1e-5)


def test_row_nll_leaves_the_model_and_the_precision_as_they_were() -> None:
    model = with_adapter(tiny.tiny_llama(), "lora", replace(tiny.UNLEARNING, dropout=0.5), seed=0)
    tiny.wake(model)
    model.train()
    values = [row_nll(model, tiny.FORGET, 5, tiny.mixed_precision)[0] for _ in range(2)]
    assert torch.equal(*values)  # no dropout
    assert model.training and torch.is_grad_enabled()
    exact, _ = row_nll(model, tiny.FORGET, 5, tiny.full_precision)
    assert not torch.equal(values[0], exact)
    assert values[0].mean().item() == pytest.approx(exact.mean().item(), rel=0.02)


@pytest.mark.parametrize("way", ["fp32", "bf16", "autocast", "lora"])
def test_cached_states_remember_the_untrained_model(way: str, tmp_path: Path) -> None:
    """In bf16 where the head would round them to that anyway; of LoRA the model under it."""
    dtype = torch.bfloat16 if way in ("bf16", "autocast") else torch.float32
    autocast = tiny.mixed_precision if way == "autocast" else tiny.full_precision
    model: Any = tiny.tiny_llama().to(torch.bfloat16 if way == "bf16" else torch.float32)
    frozen = copy.deepcopy(model)
    if way == "lora":
        model = with_adapter(model, "lora", tiny.UNLEARNING, seed=0)
        tiny.wake(model)
    model.train()
    picked = [3, 0, 7]
    rows, file = [tiny.RETAIN[index] for index in picked], tmp_path / "a" / "reference"
    file.parent.mkdir()
    file.write_bytes(b"x" * 100_000)  # of an earlier run
    # Batches of one, so that the cache and the frozen copy below compute the same shapes.
    reference = cached_states(model, tiny.RETAIN, 1, autocast, file)
    if way != "lora":
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(1.0)
    model.eval()
    hidden, head = reference(picked)
    assert hidden.dtype == head.dtype == dtype
    assert not hidden.requires_grad and not head.requires_grad
    assert file.stat().st_size == dtype.itemsize * 32 * sum(map(len, tiny.RETAIN))
    for states, row in zip(hidden, rows, strict=True):
        with autocast():
            found = nn.functional.linear(states[: len(row)], head)
            assert torch.equal(found, tiny.logits(frozen, [row]))
            assert not torch.allclose(found, tiny.logits(model, [row]), atol=1e-2)
        assert (states[len(row) :] == 0).all()


# --- Products in bf16 where the processor has no instructions for them -------------------------


def multiplied() -> dict[str, Tensor]:
    """A layer with autocast over fp32 weights, attention's products, and their gradients."""
    torch.manual_seed(0)
    leaves = [torch.randn(shape, requires_grad=True) for shape in ((3, 40, 64), (48, 64), (48,))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = linear(*leaves)
        attended = hidden @ hidden.transpose(1, 2)
    gradients = torch.autograd.grad(attended.float().square().mean(), leaves)
    names = ("hidden", "attended", "states", "weight", "bias")
    return dict(zip(names, (hidden.detach(), attended.detach(), *gradients), strict=True))


def test_they_differ_by_the_order_of_sums_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = multiplied()
    monkeypatch.setattr(products, "has_bf16_instructions", lambda: False)
    left, right = torch.randn(32, 300), torch.randn(300, 32)
    with products.quick_bf16_products():
        quick, narrow, wide = multiplied(), left.bfloat16() @ right.bfloat16(), left @ right
    for name, value in quick.items():
        assert value.dtype == plain[name].dtype
        step = 2.0**-7 * plain[name].float().abs().max()  # a rounding, of a number that large
        assert (value.float() - plain[name].float()).abs().max() <= step, name
    # Made in fp32 and rounded once; those in fp32 are left alone.
    assert torch.equal(narrow, (left.bfloat16().float() @ right.bfloat16().float()).bfloat16())
    assert torch.equal(wide, left @ right)
