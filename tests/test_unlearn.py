"""Training: order, losses, updates and memory of unlearning and ordinary training; divergence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_models as tiny
import torch
from small_runs import Start
from torch import Tensor, nn
from transformers import TrainingArguments

from qunlearn.models.checkpoints import load_model
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import Adapter, UnlearnSettings
from qunlearn.training.adapters import weight_dtype, with_adapter
from qunlearn.training.finetune import train_and_keep
from qunlearn.training.reference import row_nll
from qunlearn.training.rows import collate
from qunlearn.training.trainer import LOG, Diverged, RepeatableTrainer
from qunlearn.training.unlearn import unlearn

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

Log = list[dict[str, Any]]
Trained = tuple[nn.Module, Log]


def train(
    settings: UnlearnSettings,
    folder: Path,
    objective: str = "npo_gdr",
    adapter: Adapter = "full",
    seed: int = 0,
) -> Trained:
    model = with_adapter(tiny.tiny_llama().to(weight_dtype(adapter)), adapter, settings, seed)
    log = unlearn(model, tiny.FORGET, tiny.RETAIN, objective, adapter, settings, seed, folder)
    return model, log


def forget_nll(model: nn.Module) -> float:
    sums, counts = row_nll(model, tiny.FORGET, 4, tiny.full_precision)
    return (sums.sum() / counts.sum()).item()


@pytest.mark.parametrize(
    ("objective", "adapter", "beta"),
    [
        ("ga", "full", 0.1),
        ("npo_gdr", "lora", 0.1),
        ("npo_klr", "full_bf16", 0.1),
        ("simnpo_klr", "lora", 0.03),  # to an untrained model rows are forgotten at 2.5
    ],
)
def test_forget_nll_rises(objective: str, adapter: Adapter, beta: float, tmp_path: Path) -> None:
    settings = replace(tiny.UNLEARNING, epochs=4, lr=5e-3, beta=beta, gamma=0.5, alpha=3.0)
    before = forget_nll(tiny.tiny_llama())
    model, log = train(settings, tmp_path, objective, adapter)
    assert forget_nll(model) > before + 0.3
    looks = {line["step"]: line["nll_forget"] for line in log if "nll_forget" in line}
    assert list(looks) == [2, 4, 6, 8, 10, 12]  # 12 rows * 4 epochs / 4 rows
    assert looks[12] == pytest.approx(forget_nll(model), rel=0.02)
    losses = [line for line in log if "loss" in line]
    assert [line["step"] for line in losses] == list(looks)
    for line in losses:
        assert ("loss_retain" in line) == ("_" in objective)
        whole = 0.5 * line["loss_forget"] + 3.0 * line.get("loss_retain", 0.0)
        assert line["loss"] == pytest.approx(whole, abs=4e-3)


@pytest.mark.parametrize("variant", ["paper", "muse"])
def test_first_losses_are_those_of_the_untrained_model(variant: Any, tmp_path: Path) -> None:
    """NPO starts at 2/beta ln 2 and KLR at 0; MUSE's KLR falls below 0, as no KL does."""
    settings = replace(tiny.UNLEARNING, variant=variant, epochs=1, log_every=1, checkpoint_every=1)
    settings = replace(settings, lr=1e-12 if variant == "paper" else 1e-2, alpha=1e-3)
    lines = [line for line in train(settings, tmp_path, "npo_klr")[1] if "loss" in line]
    assert lines[0]["loss_forget"] == pytest.approx(2 / 0.1 * 0.6931472, rel=5e-3)
    assert lines[0]["loss_retain"] == pytest.approx(0.0, abs=0.05)
    assert (lines[-1]["loss_retain"] < -0.05) == (variant == "muse")


@pytest.mark.parametrize(
    ("objective", "variant"),
    [("npo_klr", "paper"), ("ga_gdr", "paper"), ("simnpo", "paper"), ("npo_klr", "muse")],
)
def test_micro_batches_make_the_same_update(objective: str, variant: Any, tmp_path: Path) -> None:
    """Of rows that differ in length, so that a mean of means would not be the mean."""
    settings = replace(tiny.UNLEARNING, autocast=False, variant=variant)
    (whole, log), (parts, other_log) = (
        train(replace(settings, micro_batch_size=micro), tmp_path / str(micro), objective)
        for micro in (0, 2)
    )
    start, other = tiny.weights(tiny.tiny_llama()), tiny.weights(parts)
    for name, weight in tiny.weights(whole).items():
        # AdamW makes whole steps of rounding errors where a gradient is nearly 0: 1.4 % on AVX2.
        difference = (weight - other[name]).norm()
        assert difference < 0.03 * (weight - start[name]).norm(), name
    for line, other_line in zip(log, other_log, strict=True):
        # Of the gradient's norm .02 % on AVX2, after two such updates.
        assert line == pytest.approx(other_line, rel=1e-3, abs=1e-4)


# --- The end of a run --------------------------------------------------------------------------


def test_the_stop_rule_ends_a_run_and_again_when_it_goes_on(tmp_path: Path) -> None:
    """A kill between the stop and the output must not push the model further."""
    settings = replace(tiny.UNLEARNING, epochs=100, lr=5e-3, stop_nll=6.0, checkpoint_every=2)
    assert forget_nll(tiny.tiny_llama()) < 6.0
    (first, log), (second, other_log) = (train(settings, tmp_path, "ga") for _ in range(2))
    *below, last = [line["nll_forget"] for line in log if "nll_forget" in line]
    assert 0 < max(below) < 6.0 <= last == pytest.approx(forget_nll(first), rel=0.02)
    assert log[-1]["step"] < 300 == 100 * 12 // 4
    assert log == other_log
    assert tiny.same(tiny.weights(first), tiny.weights(second))
    other, _ = train(settings, tmp_path / "other", "ga", seed=1)
    assert not tiny.same(tiny.weights(first), tiny.weights(other))


def test_a_run_that_diverges(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log ends there; also when the stop rule looks before the next loss does."""
    with pytest.raises(Diverged, match="nan after update 1"):
        train(replace(tiny.UNLEARNING, lr=1e30, log_every=1, stop_nll=6.0), tmp_path / "look")
    tiny.at_update(
        monkeypatch, 4, lambda trainer: trainer.model.lm_head.weight.data.fill_(torch.inf)
    )
    with pytest.raises(Diverged, match="at update 5") as caught:
        train(tiny.UNLEARNING, tmp_path, "ga_gdr")
    assert [line["step"] for line in caught.value.log if "loss" in line] == [2, 4]
    # No loss comes after the last update: the forget NLL shows it, or else the weights do.
    with pytest.raises(Diverged, match="the forget NLL is nan after update 1"):
        train(replace(tiny.UNLEARNING, lr=1e30, epochs=0.1), tmp_path / "last")
    settings = replace(tiny.TRAINING, epochs=0.01, lr=1e39, warmup=0)  # beyond fp32
    with pytest.raises(InputError, match="is not finite after the last update; lower its lr"):
        ordinary(settings, start, tmp_path / "ordinary")


# --- Ordinary training -------------------------------------------------------------------------


def ordinary(settings: TrainSettings, start: Start, folder: Path) -> Trained:
    """A new model, trained on the forget text."""
    shape = ModelSettings(vocabulary=300, hidden=32, mlp=64, layers=2, heads=2, context=256)
    how = settings, shape, None, 0
    train_and_keep(start[1], ["forget"], folder / "model", folder / "checkpoints", *how)
    return load_model(folder / "model", torch.float32), read_jsonl(folder / "model" / LOG)


def test_training_learns_the_texts(tmp_path: Path, start: Start) -> None:
    _, log = ordinary(replace(tiny.TRAINING, epochs=10, max_tokens=64), start, tmp_path)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[0] > 5  # ln 300 = 5.7
    assert losses[-1] < 2.5
    rates = [line["learning_rate"] for line in log if "learning_rate" in line]
    # Half a cosine from the end of the warm-up; the last line has the rate of the last update.
    assert tiny.TRAINING.lr >= rates[0] > rates[-1] < 1e-4


# --- Memory ------------------------------------------------------------------------------------


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that each update's forward passes keep for the backward pass."""
    found: list[int] = []
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


@pytest.mark.parametrize(
    ("objective", "adapter"),
    [("npo_klr", "full"), ("npo_gdr", "full_bf16"), ("ga_klr", "lora"), ("ordinary", "full")],
)
def test_gradient_checkpointing_changes_nothing_but_memory(
    objective: str, adapter: Adapter, tmp_path: Path, kept: list[int], start: Start
) -> None:
    """Not even with dropout, which the recomputation must repeat."""

    def run(checkpointing: bool) -> Trained:
        more = {"gradient_checkpointing": checkpointing, "autocast": False}
        folder = tmp_path / str(checkpointing)
        if objective == "ordinary":
            return ordinary(
                replace(tiny.TRAINING, epochs=0.3, max_tokens=64, **more), start, folder
            )
        return train(replace(tiny.UNLEARNING, dropout=0.5, **more), folder, objective, adapter)

    plain, plain_log = run(False)
    before = kept.copy()
    kept.clear()
    model, log = run(True)
    assert log == plain_log
    assert tiny.same(tiny.weights(model), tiny.weights(plain))
    assert len(kept) == len(before) > 0
    assert max(kept) < 0.6 * min(before)


def test_one_gpu_is_used_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Trainer would wrap the model in DataParallel."""
    original = TrainingArguments.__post_init__

    def several(self: TrainingArguments) -> None:
        original(self)
        self._n_gpu = 4

    monkeypatch.setattr(TrainingArguments, "__post_init__", several)
    how: Any = {"updates": 1, "rows": 3, "seed": 0, "autocast": False}
    trainer = RepeatableTrainer(tiny.tiny_llama(), tiny.TRAINING, tmp_path, [], collate, **how)
    assert trainer.args.n_gpu == 1
    assert trainer._train_batch_size == 3
    assert trainer._wrap_model(trainer.model) is trainer.model


def test_out_of_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(trainer: RepeatableTrainer) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0 has ...")

    tiny.at_update(monkeypatch, 1, fail)
    with pytest.raises(InputError, match=r"\(CUDA out of memory\): lower micro_batch_size"):
        train(tiny.UNLEARNING, tmp_path)
