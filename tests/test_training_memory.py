"""What training does to need less memory: the same numbers, and one line where it is not enough."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import (
    FORGET,
    PAD,
    RETAIN,
    TEXTS,
    TRAINING,
    UNLEARNING,
    at_update,
    same,
    tiny_llama,
    weights,
)
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from qunlearn.models.scratch import new_llama
from qunlearn.run.errors import InputError
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.unlearning import Adapter, UnlearnSettings
from qunlearn.training.adapters import weight_dtype, with_adapter
from qunlearn.training.finetune import finetune
from qunlearn.training.trainer import RepeatableTrainer, arguments
from qunlearn.training.unlearn import unlearn

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

Kept = list[int]  # bytes that each update's forward passes keep for the backward pass


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    found: Kept = []
    original = RepeatableTrainer.training_step

    def step(self: RepeatableTrainer, *args: Any, **kwargs: Any) -> Tensor:
        seen: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            value = original(self, *args, **kwargs)
        found.append(sum(seen.values()))
        return value

    monkeypatch.setattr(RepeatableTrainer, "training_step", step)
    return found


def train(
    settings: UnlearnSettings, objective: str, adapter: Adapter, folder: Path
) -> tuple[nn.Module, list[dict[str, Any]]]:
    model = with_adapter(tiny_llama().to(weight_dtype(adapter)), adapter, settings, seed=0)
    log = unlearn(model, PAD, FORGET, RETAIN, objective, adapter, settings, 0, folder)
    return model, log


@pytest.mark.parametrize(
    ("objective", "adapter"), [("npo_klr", "full"), ("npo_gdr", "full_bf16"), ("ga_klr", "lora")]
)
def test_gradient_checkpointing_changes_nothing_but_memory(
    objective: str, adapter: Adapter, tmp_path: Path, kept: Kept
) -> None:
    """Not even with dropout, which the recomputation must repeat."""
    settings = replace(UNLEARNING, dropout=0.5, autocast=False)
    plain, plain_log = train(settings, objective, adapter, tmp_path / "plain")
    before = kept.copy()
    kept.clear()
    settings = replace(settings, gradient_checkpointing=True)
    model, log = train(settings, objective, adapter, tmp_path / "checkpointed")
    assert log == plain_log
    assert same(weights(model), weights(plain))
    assert len(kept) == len(before) == 6
    assert max(kept) < 0.6 * min(before)


def test_checkpointing_sums_gradients_in_fp32(tmp_path: Path) -> None:
    """Under autocast the bf16 copies of weights go with their layer, so only rounding differs."""
    found = []
    for checkpointing in (False, True):
        settings = replace(UNLEARNING, gradient_checkpointing=checkpointing, lr=1e-4)
        model, _ = train(settings, "npo_klr", "full", tmp_path / str(checkpointing))
        found.append(weights(model))
    start = weights(tiny_llama())
    moved = sum(float((found[0][name] - start[name]).norm()) for name in start)
    apart = sum(float((found[1][name] - found[0][name]).norm()) for name in start)
    assert 0 < apart < 0.1 * moved


def test_gradient_checkpointing_of_ordinary_training(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, kept: Kept
) -> None:
    found = []
    for checkpointing in (False, True):
        model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
        settings = replace(TRAINING, gradient_checkpointing=checkpointing, autocast=False)
        log = finetune(model, tokenizer, TEXTS, settings, 0, tmp_path / str(checkpointing))
        found.append((log, weights(model), sum(kept)))
        kept.clear()
    assert found[0][0] == found[1][0]
    assert same(found[0][1], found[1][1])
    assert found[1][2] < 0.6 * found[0][2]


@pytest.mark.parametrize("adapter", ["full", "full_bf16"])
def test_moments_in_eight_bits(
    adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of tensors of 4096 weights and more; their updates are nearly those of AdamW."""
    made: list[Any] = []
    original = RepeatableTrainer.create_optimizer

    def create(self: RepeatableTrainer, *args: Any) -> Any:
        made.append(original(self, *args))
        return made[-1]

    monkeypatch.setattr(RepeatableTrainer, "create_optimizer", create)
    settings = replace(UNLEARNING, optimizer="adamw_8bit")
    found = []
    for whose in (UNLEARNING, settings):
        model = tiny_llama(vocabulary=160).to(weight_dtype(adapter))
        start = weights(model)
        folder = tmp_path / whose.optimizer
        unlearn(model, PAD, FORGET, RETAIN, "npo_gdr", adapter, whose, 0, folder)
        found.append({name: value - start[name] for name, value in weights(model).items()})
    head = "lm_head.weight"  # 160 x 32
    assert 0 < (found[1][head] - found[0][head]).norm() < 0.1 * found[0][head].norm()
    moments = {
        state[name].dtype for state in made[1].state.values() for name in ("state1", "state2")
    }
    assert moments == {torch.uint8, torch.float32}  # small tensors stay in fp32


def test_one_gpu_is_used_where_several_are_seen(tmp_path: Path) -> None:
    """The Trainer would wrap the model in DataParallel."""
    args = arguments(
        tmp_path,
        updates=1,
        lr=1.0,
        schedule="constant",
        warmup=0,
        batch_size=3,
        accumulation=1,
        clip=1.0,
        log_every=1,
        checkpoint_every=1,
        seed=0,
    )
    assert args.n_gpu == 0  # a CPU; from here on as if there were four GPUs
    args._n_gpu = 4
    trainer = RepeatableTrainer(model=tiny_llama(), args=args)
    assert trainer.args.n_gpu == 1
    assert trainer._train_batch_size == 3
    assert trainer._wrap_model(trainer.model) is trainer.model


def out_of_memory(trainer: RepeatableTrainer) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has ...")


def test_out_of_memory_in_unlearning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_update(monkeypatch, 1, out_of_memory)
    advice = (
        r"\(CUDA out of memory\): lower micro_batch_size, or set gradient_checkpointing to true"
    )
    with pytest.raises(InputError, match=advice):
        train(UNLEARNING, "npo_gdr", "full", tmp_path)


def test_out_of_memory_in_training(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_update(monkeypatch, 1, out_of_memory)
    model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
    with pytest.raises(InputError, match="lower batch_size, or set gradient_checkpointing"):
        finetune(model, tokenizer, TEXTS, TRAINING, 0, tmp_path)
