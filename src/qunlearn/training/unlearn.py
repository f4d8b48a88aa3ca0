"""Unlearning: push the forget rows away, hold the retain rows where they are."""

import math
import random
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from qunlearn.errors import InputError
from qunlearn.settings.unlearning import Adapter, Objective, UnlearnSettings
from qunlearn.training.finetune import shuffled_passes
from qunlearn.training.losses import (
    head_weight,
    hidden_states,
    mean_nll,
    suit_attention,
    token_nll,
)
from qunlearn.training.objectives import Terms, gradient_ascent, mean_kl, npo
from qunlearn.training.reference import (
    AdapterOff,
    Autocast,
    CachedStates,
    RetainReference,
    Rows,
    row_nll,
)
from qunlearn.training.rows import Batch, collate
from qunlearn.training.trainer import Diverged, RepeatableTrainer, Steps, arguments, train

Pair = tuple[int, int]  # indices of a forget row and of the retain row beside it


class _Unlearner(RepeatableTrainer):
    """loss = gamma * forget + alpha * retain."""

    terms: Terms
    settings: UnlearnSettings
    autocast: Autocast
    forget_nll: Tensor | None = None  # NPO: [forget rows], of the reference, nats
    reference: RetainReference | None = None  # KLR

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        with self.autocast():
            forget = self._forget_term(model, inputs["forget"], inputs["pairs"])
            if self.terms.retain is None:
                self.note(loss_forget=forget)
                return self.settings.gamma * forget
            retain = self._retain_term(model, inputs["retain"], inputs["pairs"])
        self.note(loss_forget=forget, loss_retain=retain)
        return self.settings.gamma * forget + self.settings.alpha * retain

    def _forget_term(self, model: nn.Module, batch: Batch, pairs: list[Pair]) -> Tensor:
        hidden = hidden_states(model, batch)
        nll, mask = token_nll(hidden, head_weight(model), batch["labels"])
        if self.terms.forget == "ga":
            return gradient_ascent(nll, mask)
        assert self.forget_nll is not None
        before = self.forget_nll[[forget for forget, _ in pairs]].to(nll.device)
        return npo(nll, mask, before, self.settings.beta)

    def _retain_term(self, model: nn.Module, batch: Batch, pairs: list[Pair]) -> Tensor:
        hidden, head = hidden_states(model, batch), head_weight(model)
        if self.terms.retain == "gdr":
            return mean_nll(*token_nll(hidden, head, batch["labels"]))
        assert self.reference is not None
        before = self.reference.hidden(model, [retain for _, retain in pairs], batch)
        mask = batch["attention_mask"]
        return mean_kl(hidden, head, before, self.reference.head(model), mask)


class StopAtForgetNll(TrainerCallback):
    """Look at the mean token NLL of all forget rows; stop the run once it reaches a threshold."""

    def __init__(
        self,
        rows: Rows,
        pad: int,
        settings: UnlearnSettings,
        autocast: Autocast,
    ) -> None:
        self._rows, self._pad, self._settings, self._autocast = rows, pad, settings, autocast

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
        if state.global_step % self._settings.log_every == 0 or state.global_step == args.max_steps:
            size = 2 * self._settings.batch_size
            sums, counts = row_nll(kwargs["model"], self._rows, self._pad, size, self._autocast)
            value = (sums.sum() / counts.sum()).item()
            if not math.isfinite(value):
                raise Diverged(f"the forget NLL is {value} after update {state.global_step}")
            state.log_history.append({"step": state.global_step, "nll_forget": round(value, 6)})
            if self._settings.stop_nll and value >= self._settings.stop_nll:
                control.should_training_stop = True
                control.should_save = False  # a resumed run would go on past the stop
        return control


def unlearn(
    model: nn.Module,
    pad: int,
    forget: Rows,
    retain: Rows,
    objective: Objective,
    adapter: Adapter,
    settings: UnlearnSettings,
    seed: int,
    checkpoints: Path,
) -> list[dict[str, Any]]:
    """Train `model` in place until its epochs are over or its forget NLL is reached.

    Args:
        model: the target, in the form that `adapters.with_adapter` gives it.
        forget, retain: rows of token ids; an epoch is a pass over `forget`, each row of which is
            joined by a retain row drawn with replacement.
        checkpoints: folder of this run's checkpoints; training resumes from the last whole one.

    Returns:
        The log, one dict a line: loss, its terms, gradient norm, forget NLL.

    Raises:
        Diverged: the loss, the forget NLL or a weight is not finite.
        InputError: settings contradict each other.
    """
    set_seed(seed)
    if settings.micro_batch_size and settings.batch_size % settings.micro_batch_size:
        raise InputError(
            f"micro_batch_size {settings.micro_batch_size} does not divide "
            f"batch_size {settings.batch_size}; use one that does, or 0"
        )
    terms = Terms.of(objective)
    micro = settings.micro_batch_size or settings.batch_size
    updates = max(1, round(settings.epochs * len(forget) / settings.batch_size))
    pairs = draw_pairs(len(forget), len(retain), updates * settings.batch_size, seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device)
    suit_attention(model, device)
    autocast = partial(
        torch.autocast,
        device.type,
        dtype=torch.bfloat16,
        enabled=settings.autocast and adapter != "full_bf16",
    )

    def collate_pairs(picked: list[Pair]) -> dict[str, Any]:
        return {
            "pairs": picked,
            "forget": collate([forget[index] for index, _ in picked], pad),
            "retain": collate([retain[index] for _, index in picked], pad),
        }

    trainer = _Unlearner(
        model=model,
        args=arguments(
            checkpoints,
            updates=updates,
            lr=settings.lr,
            schedule="constant",
            warmup=0,
            batch_size=micro,
            accumulation=settings.batch_size // micro,
            clip=settings.clip,
            log_every=settings.log_every,
            checkpoint_every=settings.checkpoint_every,
            seed=seed,
        ),
        train_dataset=Steps(pairs),
        data_collator=collate_pairs,
        callbacks=[StopAtForgetNll(forget, pad, settings, autocast)],
    )
    trainer.terms, trainer.settings, trainer.autocast = terms, settings, autocast
    if terms.forget == "npo":
        trainer.forget_nll, _ = row_nll(model, forget, pad, 2 * micro, autocast)
    if terms.retain == "klr":
        trainer.reference = (
            AdapterOff(autocast)
            if adapter == "lora"
            else CachedStates(
                model, retain, pad, 2 * micro, autocast, checkpoints / "reference.f32"
            )
        )
    return train(trainer)


def draw_pairs(forget: int, retain: int, length: int, seed: int) -> list[Pair]:
    """Shuffled passes over the forget rows, each row beside a random retain row."""
    generator = random.Random(f"retain/{seed}")
    return [(index, generator.randrange(retain)) for index in shuffled_passes(forget, length, seed)]
