"""Ending a training early, so that it goes on later as if nothing had happened."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import SIGTERM, signal
from types import FrameType
from typing import Any

import torch
from filelock import FileLock
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qunlearn.run.files import flush
from qunlearn.run.signals import listen
from qunlearn.training.sharding import summed

WHOLE = "whole"  # an empty file in a checkpoint of which all is on the disk


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

    `KeepLast` marks those that are whole.
    """
    for checkpoint in sorted(folder.glob("checkpoint-*"), key=_update, reverse=True):
        if (checkpoint / WHOLE).exists():
            return str(checkpoint)
        shutil.rmtree(checkpoint)
    return None


def _update(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


class KeepLast(TrainerCallback):
    """Marks a checkpoint as whole once it is on the disk, and only then deletes the one before.

    The Trainer's own `save_total_limit` deletes that while the new one may be in the cache alone,
    from which a power cut takes it.
    """

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> TrainerControl:
        """Wait for the disk, and for the parts of all processes of a training."""
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        flush(folder)
        summed(torch.zeros(()))
        if state.is_world_process_zero:
            (folder / WHOLE).touch()
            flush(folder)
            for other in folder.parent.glob("checkpoint-*"):
                if other != folder:
                    shutil.rmtree(other)
        return control


class StopWhenAsked(TrainerCallback):
    """Saves a checkpoint and stops the training after the update in which SIGTERM or Ctrl-C came.

    The Trainer's own `enable_jit_checkpoint` (transformers 5.23) listens to SIGTERM alone, waits
    three seconds, and saves between an update's forward pass and its step: the resumed run draws
    other dropout and ends with other weights.

    Attributes:
        stopped: the signal's number, once it has stopped the training; else 0.
    """

    stopped = 0
    _asked = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Only note within the block that the process is asked to end."""
        before = listen(self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked = number

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> TrainerControl:
        """Stop, unless this was the last update anyway; all processes of a training together."""
        if summed(torch.tensor(float(self._asked))) and not control.should_training_stop:
            self.stopped = self._asked or SIGTERM  # another process got it
            control.should_training_stop = control.should_save = True
        return control
