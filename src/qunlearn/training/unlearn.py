"""Unlearning: push the forget rows away, hold the retain rows where they are."""

import math
import random
from collections.abc import Callable, Collection
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

from qunlearn.settings.unlearning import Adapter, UnlearnSettings
from qunlearn.training.finetune import shuffled_passes
from qunlearn.training.losses import head_weight, hidden_states, suit_attention
from qunlearn.training.objectives import Objective, Seen, Term
from qunlearn.training.products import quick_bf16_products
from qunlearn.training.reference import Autocast, Reference, Rows, remember, spread_row_nll
from qunlearn.training.rows import collate
from qunlearn.training.sharding import micro_batch, rank, trainer_settings, within
from qunlearn.training.snapshots import Snapshots, count_updates
from qunlearn.training.trainer import (
    Diverged,
    RepeatableTrainer,
    Steps,
    arguments,
    told_when_out_of_memory,
    train,
)

ROWS = ("forget", "retain")  # those that an example pairs, and whose terms the loss has
Pair = tuple[int, int]  # indices of a forget row and of the retain row beside it


class _Unlearner(RepeatableTrainer):
    """loss = gamma * forget + alpha * retain."""

    terms: dict[str, Term]  # rows that it acts on -> term
    settings: UnlearnSettings
    autocast: Autocast
    references: dict[str, Reference]  # rows -> what their term compares with

    def weigh(self, inputs: Any) -> dict[str, int]:
        """Of each term, how many rows or tokens of a batch its mean is over."""
        counts = {}
        for name, term in self.terms.items():
            rows, tokens = len(inputs["pairs"]), int(inputs[name]["attention_mask"].sum())
            over = term.definition(self.settings.variant).over
            counts[name] = {"rows": rows, "tokens": tokens, "predictions": tokens - rows}[over]
        return counts

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        if self.args.gradient_checkpointing and self.settings.sharding == "none":
            terms = self._one_after_the_other(model, inputs)
        else:
            with self.autocast():
                terms = within(model, self._terms, inputs)
        loss = self.settings.gamma * terms["loss_forget"]
        if "loss_retain" in terms:
            loss = loss + self.settings.alpha * terms["loss_retain"]
        self.note(**terms)
        return loss

    def _terms(self, model: nn.Module, inputs: Any) -> dict[str, Tensor]:
        return {f"loss_{name}": self._term(model, name, inputs) for name in self.terms}

    def _one_after_the_other(self, model: nn.Module, inputs: Any) -> dict[str, Tensor]:
        """The terms, where memory is short: forget's backward pass is over before retain begins.

        In one backward pass both graphs are there, and the first one's gradients of all weights
        wait for the second one's: at 7B 27 GB. The sums are the same but for rounding.
        """
        with self.autocast():
            forget = self._term(model, "forget", inputs)
        if "retain" not in self.terms:
            return {"loss_forget": forget}
        steps = self.current_gradient_accumulation_steps  # what the Trainer divides a loss by
        self.accelerator.backward(self.settings.gamma * forget / steps)
        with self.autocast():
            retain = self._term(model, "retain", inputs)
        return {"loss_forget": forget.detach(), "loss_retain": retain}

    def _term(self, model: nn.Module, name: str, inputs: Any) -> Tensor:
        batch = inputs[name]
        hidden, head = hidden_states(model, batch), head_weight(model)
        indices = [pair[ROWS.index(name)] for pair in inputs["pairs"]]
        seen = Seen(
            hidden,
            head,
            batch["labels"],
            batch["attention_mask"],
            self.references[name](indices, batch),
        )
        definition = self.terms[name].definition(self.settings.variant)
        return self.share(name, definition.loss(seen, self.settings), inputs)


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


@told_when_out_of_memory("micro_batch_size")
@quick_bf16_products()
def unlearn(
    model: nn.Module,
    pad: int,
    forget: Rows,
    retain: Rows,
    objective: str,
    adapter: Adapter,
    settings: UnlearnSettings,
    seed: int,
    checkpoints: Path,
    snapshots: Snapshots | None = None,
) -> list[dict[str, Any]]:
    """Train `model` in place until its epochs are over or its forget NLL is reached.

    Args:
        model: the target, in the form that `adapters.with_adapter` gives it.
        forget, retain: rows of token ids; an epoch is a pass over `forget`, each row of which is
            joined by a retain row drawn with replacement.
        checkpoints: folder of this run's checkpoints; training resumes from the last whole one.
        snapshots: what to keep on the way.

    Returns:
        The log, one dict a line: loss, its terms, gradient norm, forget NLL.

    Raises:
        Diverged: the loss, the forget NLL or a weight is not finite.
        InputError: settings contradict each other, or out of GPU memory.
    """
    set_seed(seed)
    terms: dict[str, Term] = {term.rows: term for term in Objective.parse(objective).terms}
    micro = micro_batch(settings)
    updates = count_updates(settings.epochs, len(forget), settings.batch_size)
    pairs = draw_pairs(len(forget), len(retain), updates * settings.batch_size, seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.sharding == "none":
        model.to(device)
    suit_attention(model, device)
    autocast = partial(
        torch.autocast,
        device.type,
        dtype=torch.bfloat16,
        enabled=settings.autocast and adapter != "full_bf16",
        # The cache holds a bf16 copy of every trained weight until the pass ends: 13 GB at 7B, when
        # checkpointing lets the layers' own copies go.
        cache_enabled=not settings.gradient_checkpointing,
    )

    def collate_pairs(picked: list[Pair]) -> dict[str, Any]:
        return {
            "pairs": picked,
            "forget": collate([forget[index] for index, _ in picked], pad),
            "retain": collate([retain[index] for _, index in picked], pad),
        }

    def look(model: nn.Module) -> tuple[Tensor, Tensor]:
        return spread_row_nll(model, forget, pad, 2 * micro, autocast)

    trainer = _Unlearner(
        model=model,
        args=arguments(
            checkpoints,
            updates=updates,
            lr=settings.lr,
            schedule="constant",
            warmup=0,
            batch_size=micro,
            accumulation=settings.batch_size // (micro * settings.processes),
            clip=settings.clip,
            log_every=settings.log_every,
            checkpoint_every=settings.checkpoint_every,
            seed=seed,
            gradient_checkpointing=settings.gradient_checkpointing,
            optimizer=settings.optimizer,
            **trainer_settings(settings),
        ),
        train_dataset=Steps(pairs),
        data_collator=collate_pairs,
        callbacks=[
            StopAtForgetNll(look, settings, snapshots.updates.values() if snapshots else ()),
            *([snapshots] if snapshots else []),
        ],
    )
    if snapshots:
        with trainer.accelerator.main_process_first():
            snapshots.drop_checkpoints_without(checkpoints)
    trainer.terms, trainer.settings, trainer.autocast = terms, settings, autocast
    trainer.references = {}
    for name, term in terms.items():
        wanted = term.definition(settings.variant).reference
        rows, file = (forget, retain)[ROWS.index(name)], checkpoints / f"{name}_reference{rank()}"
        trainer.references[name] = remember(wanted, model, rows, pad, 2 * micro, autocast, file)
    return train(trainer)


def draw_pairs(forget: int, retain: int, length: int, seed: int) -> list[Pair]:
    """Shuffled passes over the forget rows, each row beside a random retain row."""
    generator = random.Random(f"retain/{seed}")
    return [(index, generator.randrange(retain)) for index in shuffled_passes(forget, length, seed)]
