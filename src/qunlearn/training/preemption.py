"""Ending a training early, so that it goes on later as if nothing had happened."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any, Protocol

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qunlearn.signals import Request, Stopped
from qunlearn.training.sharding import rank, summed

LOSS, LOGGED = "loss", "logged"  # keys of a window; a part of the loss is `part.<name>`


class Logging(Protocol):
    """What a Trainer has gathered since the last line of its log."""

    _tr_loss: Tensor
    _globalstep_last_logged: int
    _parts: dict[str, list[Tensor]]


@contextmanager
def held(checkpoints: Path) -> Iterator[None]:
    """Keep a training's folder to this process; delete it when the block succeeds.

    On a cluster, jobs outlive a driver that is killed, and the next driver sends the same training
    again: it waits here until the first one is done.
    """
    checkpoints.mkdir(parents=True, exist_ok=True)
    with FileLock(checkpoints / "lock"):
        yield
        shutil.rmtree(checkpoints, ignore_errors=True)


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


def _update(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


class EndWhenAsked(TrainerCallback):
    """Saves a checkpoint and ends the training after the update in which the wish came.

    The processes of a training agree on it, since all must take part in a checkpoint.
    """

    def __init__(self, trainer: Logging, request: Request) -> None:
        self._trainer, self._request = trainer, request

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> None:
        """Take up the checkpoint's window, which the Trainer does not keep."""
        file = window_file(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")
        if file.exists():
            load_window(self._trainer, file)

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> TrainerControl:
        """End here, unless this was the last update anyway."""
        if not control.should_training_stop and self.asked():
            control.should_training_stop = control.should_save = True
        return control

    def asked(self) -> bool:
        """Whether any process was asked to end; all must call it."""
        return bool(summed(torch.tensor(float(self._request.number))))

    def stopped(self, update: int, folder: Path) -> Stopped:
        """What to raise after the training.

        Args:
            update: after which it ended.
            folder: of the checkpoints.
        """
        number = self._request.number or SIGTERM  # another process got it
        kept = last_checkpoint(folder)
        then = f"resumes from {Path(kept).name}" if kept else "starts anew"
        name = Signals(number).name
        return Stopped(number, f"stopped by {name} at update {update}; the same command {then}")


def window_file(checkpoint: Path) -> Path:
    """Of this process; the parts of the loss are its own."""
    return checkpoint / f"window{rank()}.safetensors"


def save_window(trainer: Logging, file: Path) -> None:
    """Keep what the next line of the log is to be the mean of: a checkpoint may be between two."""
    parts = {f"part.{name}": torch.stack(values) for name, values in trainer._parts.items()}
    logged = torch.tensor(trainer._globalstep_last_logged)
    save_file({LOSS: trainer._tr_loss, LOGGED: logged, **parts}, file)


def load_window(trainer: Logging, file: Path) -> None:
    """Take up what `save_window` kept."""
    window = load_file(file, device=str(trainer._tr_loss.device))
    trainer._tr_loss.copy_(window.pop(LOSS))
    trainer._globalstep_last_logged = int(window.pop(LOGGED))
    for name, values in window.items():
        trainer._parts[name.removeprefix("part.")] = list(values.unbind())
