"""Checkpoints: a killed run goes on, and ends as it would have undisturbed."""

import json
from collections.abc import Callable
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
from qunlearn.settings.unlearning import Adapter
from qunlearn.training import finetune as finetuning
from qunlearn.training.adapters import weight_dtype, with_adapter
from qunlearn.training.finetune import finetune
from qunlearn.training.preemption import WHOLE, last_checkpoint
from qunlearn.training.trainer import RepeatableTrainer, arguments
from qunlearn.training.unlearn import unlearn

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


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
    for update, whole in ((5, True), (90, True), (100, False)):
        folder = tmp_path / f"checkpoint-{update}"
        folder.mkdir()
        (folder / "model.safetensors").touch()
        (folder / "trainer_state.json").write_text("{}")
        if whole:
            (folder / WHOLE).touch()
    # 90 is newer than 5, though "5" sorts after "9" as text.
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-90")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-5", "checkpoint-90"]


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
    objective: str,
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


@pytest.mark.parametrize("code", ["as it was", "changed since"])
def test_a_run_does_not_go_on_from_a_checkpoint_of_other_code(
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    code: str,
) -> None:
    def run() -> None:
        finetuning.train_and_keep(
            new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0),
            tokenizer,
            TEXTS,
            TRAINING,
            step="finetune",
            seed=0,
            inputs={},
            output=tmp_path / "model",
            checkpoints=tmp_path / "checkpoints",
        )

    monkeypatch.setattr(finetuning, "code_version", lambda script: "as it was")
    with monkeypatch.context() as killed:
        at_update(killed, 6, kill)
        with pytest.raises(KeyboardInterrupt):
            run()
    monkeypatch.setattr(finetuning, "code_version", lambda script: code)
    run()
    assert ("resuming from" in capsys.readouterr().out) == (code == "as it was")
