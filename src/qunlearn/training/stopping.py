"""The stop rule of unlearning: how much is forgotten, looked at while a run goes on."""

import math
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.reference import Autocast, Rows, row_nll
from qunlearn.training.sharding import own_share, processes, summed, within
from qunlearn.training.trainer import Diverged


class StopAtForgetNll(TrainerCallback):
    """Look at the mean token NLL of all forget rows; stop the run once it reaches a threshold."""

    def __init__(
        self,
        look: Callable[[nn.Module], tuple[Tensor, Tensor]],
        settings: UnlearnSettings,
        also_at: Collection[int] = (),
    ) -> None:
        """Stop as `settings` say.

        Args:
            look: gives the summed NLL and the number of tokens of each forget row.
            also_at: further updates to look at, which stop nothing: the ends of shorter runs.
        """
        self._look, self._settings, self._also_at = look, settings, also_at

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: Any,
    ) -> TrainerControl:
        """Look every `log_every` updates and after the last one.

        Raises:
            Diverged: the forget NLL is not finite.
        """
        due = state.global_step % self._settings.log_every == 0
        due = due or state.global_step == args.max_steps
        if due or state.global_step in self._also_at:
            sums, counts = self._look(kwargs["model"])
            value = (sums.sum() / counts.sum()).item()
            if not math.isfinite(value):
                raise Diverged(f"the forget NLL is {value} after update {state.global_step}")
            state.log_history.append({"step": state.global_step, "nll_forget": round(value, 6)})
            if due and self._settings.stop_nll and value >= self._settings.stop_nll:
                control.should_training_stop = True
                control.should_save = False  # a resumed run would go on past the stop
        return control


def spread_row_nll(
    model: nn.Module, rows: Rows, pad: int, batch_size: int, autocast: Autocast
) -> tuple[Tensor, Tensor]:
    """`reference.row_nll`, of which each process computes its share; all get the whole."""
    if processes() == 1:
        return within(model, row_nll, rows, pad, batch_size, autocast)
    mine, counting = own_share(len(rows))
    found = within(model, row_nll, [rows[index] for index in mine], pad, batch_size, autocast)
    whole = torch.zeros(2, len(rows))
    whole[:, mine[:counting]] = torch.stack(found)[:, :counting]
    sums, counts = summed(whole)
    return sums, counts
