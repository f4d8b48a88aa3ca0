"""The one way that a model is trained here: transformers' Trainer, resumable and repeatable."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from qunlearn.errors import InputError

LOG = "train_log.jsonl"  # of a run, in its output folder


class Diverged(Exception):
    """The loss or the weights are no longer finite: a result of the run, not a fault of it.

    Attributes:
        log: the run's log up to here, one dict a line.
    """

    log: list[dict[str, Any]]


class Steps(Dataset[Any]):
    """The examples of all updates in the order in which they are seen.

    The order is made before training, so that a resumed run sees what an undisturbed one sees.
    """

    def __init__(self, examples: Sequence[Any]) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples)

    def __getitem__(self, index: int) -> Any:
        return self._examples[index]


class RepeatableTrainer(Trainer):
    """A Trainer that logs the parts of its loss and stops at the first loss that is not finite."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Our losses are means; the Trainer is to divide them by the accumulation steps.
        self.model_accepts_loss_kwargs = False
        self._parts: dict[str, list[Tensor]] = {}

    def note(self, **parts: Tensor) -> None:
        """Keep parts of the loss; the next line of the log has their means."""
        for name, value in parts.items():
            self._parts.setdefault(name, []).append(value.detach())

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each part since the last line."""
        for name, values in self._parts.items():
            logs[name] = round(torch.stack(values).mean().item(), 6)
        self._parts.clear()
        super().log(logs, *args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """One forward and backward pass; raises Diverged on a loss that is not finite."""
        loss: Tensor = super().training_step(*args, **kwargs)
        if not torch.isfinite(loss):
            raise Diverged(f"the loss is {loss.item()} at update {self.state.global_step + 1}")
        return loss


def arguments(
    checkpoints: Path,
    *,
    updates: int,
    lr: float,
    schedule: str,
    warmup: int,
    batch_size: int,
    accumulation: int,
    clip: float,
    log_every: int,
    checkpoint_every: int,
    seed: int,
) -> TrainingArguments:
    """AdamW without weight decay, one checkpoint kept, nothing reported anywhere.

    Raises:
        InputError: `checkpoint_every` is not a multiple of `log_every`.
    """
    if checkpoint_every % log_every:
        raise InputError(
            f"checkpoint_every {checkpoint_every} is not a multiple of log_every {log_every}; "
            "a resumed run's log would differ from an undisturbed one's"
        )
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=updates,
        learning_rate=lr,
        lr_scheduler_type=schedule,
        warmup_steps=warmup,
        weight_decay=0.0,
        max_grad_norm=clip,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        logging_steps=log_every,
        save_strategy="steps",
        save_steps=checkpoint_every,
        save_total_limit=1,
        seed=seed,
        train_sampling_strategy="sequential",
        use_cpu=not torch.cuda.is_available(),
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
    )


def train(trainer: RepeatableTrainer) -> list[dict[str, Any]]:
    """Train, from the last whole checkpoint if there is one; return the log, one dict a line.

    Raises:
        Diverged: the loss or a weight is not finite.
    """
    try:
        checkpoint = last_checkpoint(Path(trainer.args.output_dir))
        if checkpoint:
            print(f"resuming from {Path(checkpoint).name}", flush=True)
        trainer.train(resume_from_checkpoint=checkpoint)
        _check_finite(trainer.model)
    except Diverged as error:
        error.log = _log(trainer)
        raise
    return _log(trainer)


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint in `folder`; broken ones, left by a kill, are deleted.

    The Trainer writes a checkpoint's `trainer_state.json` last, so one that parses is whole.
    """
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_update, reverse=True):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
            continue
        return str(checkpoint)
    return None


def _check_finite(model: Any) -> None:
    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise Diverged(f"{name} is not finite after the last update")


def _log(trainer: RepeatableTrainer) -> list[dict[str, Any]]:
    """All lines but the Trainer's summary, which covers only what was run since a resumption."""
    return [dict(line) for line in trainer.state.log_history if "train_runtime" not in line]


def _update(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])
