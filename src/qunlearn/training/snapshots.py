"""Snapshots: what a shorter run would have ended with, kept on the way of a longer one.

Under a constant learning rate the first five epochs of a run of ten are a run of five, to the last
bit, so that one training serves several epoch counts.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder
from qunlearn.training.preemption import last_checkpoint
from qunlearn.training.trainer import check_finite


def count_updates(epochs: float, rows: int, batch_size: int) -> int:
    """Updates in `epochs` passes over `rows`: at least one."""
    return max(1, round(epochs * rows / batch_size))


def check_epochs(snapshots: Sequence[float], epochs: float) -> tuple[float, ...]:
    """The distinct epoch counts in ascending order.

    Raises:
        InputError: one is not above 0, or later than the run's end.
    """
    for snapshot in snapshots:
        if not 0 < snapshot <= epochs:
            raise InputError(
                f"snapshots {snapshot:g} is not within the run's epochs {epochs:g}; "
                "raise epochs or leave it out"
            )
    return tuple(sorted(set(snapshots)))


def name_of(epochs: float) -> str:
    """The folder of a snapshot: `epoch5`, `epoch2.5`."""
    return f"epoch{epochs:g}"


class Snapshots(TrainerCallback):
    """Saves the trained weights after given updates, in a place that a kill leaves alone.

    Attributes:
        updates: epochs of each snapshot -> the update after which it is taken.
        save: writes the weights of a model into a folder.
    """

    def __init__(
        self,
        epochs: Sequence[float],
        rows: int,
        batch_size: int,
        folder: Path,
        save: Callable[[Any, Path], None],
    ) -> None:
        """Take snapshots into `folder`.

        Args:
            epochs: when, in passes over `rows` forget rows.
        """
        self.updates = {count: count_updates(count, rows, batch_size) for count in epochs}
        self._folder, self.save = folder, save

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> TrainerControl:
        """Save what is due, before the Trainer writes the checkpoint of the same update.

        Raises:
            Diverged: a weight is not finite.
        """
        for epochs, update in self.updates.items():
            if update == state.global_step:
                check_finite(kwargs["model"], f"update {update}")
                with new_folder(self._folder / name_of(epochs)) as work:
                    self.save(kwargs["model"], work)
        return control

    def drop_checkpoints_without(self, checkpoints: Path) -> None:
        """Delete a checkpoint that lies behind a snapshot which is gone: it would never be made."""
        while found := last_checkpoint(checkpoints):
            done = int(found.rpartition("-")[2])
            due = [epochs for epochs, update in self.updates.items() if update <= done]
            if all((self._folder / name_of(epochs)).exists() for epochs in due):
                return
            shutil.rmtree(found)

    def take(self, epochs: float, folder: Path) -> bool:
        """Bring a snapshot's files into `folder`; False where the run ended before it was due.

        They stay where they were as well: a kill on the way must not cost them.
        """
        source = self._folder / name_of(epochs)
        if not source.exists():
            return False
        for file in source.iterdir():
            try:
                os.link(file, folder / file.name)
            except OSError:  # another file system, or one without links
                shutil.copyfile(file, folder / file.name)
        return True

    def log_of(
        self, epochs: float, log: Sequence[dict[str, Any]], log_every: int
    ) -> list[dict[str, Any]]:
        """The lines of `log` that a run of so many epochs would have written."""
        end = self.updates[epochs]
        foreign = {update for update in self.updates.values() if update % log_every} - {end}
        return [line for line in log if line["step"] <= end and line["step"] not in foreign]
