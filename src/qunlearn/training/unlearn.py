"""Unlearning: push the forget rows away, hold the retain rows where they are."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback

from qunlearn.run.files import new_folder
from qunlearn.settings.unlearning import IN_BF16, Adapter, UnlearnSettings
from qunlearn.training import sharding
from qunlearn.training.losses import head_weight, hidden_states, over_vocabulary, token_nll
from qunlearn.training.objectives import Definition, Formula, Objective, Seen
from qunlearn.training.products import quick_bf16_products
from qunlearn.training.reference import Reference, remember, row_nll
from qunlearn.training.rounding import StochasticAdamW
from qunlearn.training.rows import Batch, Rows, collate, count_updates, draw_pairs
from qunlearn.training.trainer import Diverged, RepeatableTrainer, check_finite


@dataclass
class Side:
    """The forget rows or the retain rows of a run."""

    definition: Definition  # of the term of the loss that acts on them
    weight: float  # of the term
    rows: Rows  # token ids
    reference: Reference  # what the term compares them with

    def size(self, indices: Sequence[int]) -> int:
        """How many rows or tokens the term's mean over these rows is over."""
        tokens = sum(len(self.rows[index]) for index in indices)
        sizes = {"rows": len(indices), "tokens": tokens, "predictions": tokens - len(indices)}
        return sizes[self.definition.over]


def see(hidden: Tensor, head: Tensor, batch: Batch, reference: tuple[Tensor, ...] = ()) -> Seen:
    """What a term sees of `batch`.

    Args:
        hidden: the model's last hidden states, [rows, tokens, hidden].
        head: its output embedding, [vocabulary, hidden].
        reference: see `objectives.Seen`.
    """
    mask = batch["attention_mask"]

    def compare(formula: Formula) -> Tensor:
        known = reference[0], mask, reference[1]
        return over_vocabulary(formula, hidden, head, *known, summed=True)

    return Seen(mask, partial(token_nll, hidden, head, batch["labels"]), compare, reference)


class _Unlearner(RepeatableTrainer):
    """loss = gamma * forget + alpha * retain."""

    sides: dict[str, Side]
    settings: UnlearnSettings

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """The loss; where memory is short, forget's backward pass is over before retain begins.

        In one backward pass both graphs are there, and the first one's gradients of all weights
        wait for the second one's: at 7B 27 GB. The sums are the same but for rounding.
        """
        if self.settings.gradient_checkpointing and self.settings.sharding == "none":
            terms: dict[str, Tensor] = {}
            for name in self.sides:
                if terms:
                    steps = self.current_gradient_accumulation_steps  # which the Trainer divides by
                    self.accelerator.backward(self.settings.gamma * terms["forget"] / steps)
                    terms["forget"] = terms["forget"].detach()
                with self.autocast():
                    terms[name] = self._term(model, name, inputs)
        else:
            with self.autocast():
                terms = sharding.within(model, self._terms, inputs)
        self.note(**{f"loss_{name}": value for name, value in terms.items()})
        return torch.stack([self.sides[name].weight * terms[name] for name in terms]).sum()

    def _terms(self, model: nn.Module, inputs: Any) -> dict[str, Tensor]:
        return {name: self._term(model, name, inputs) for name in self.sides}

    def _term(self, model: nn.Module, name: str, inputs: Any) -> Tensor:
        side, batch = self.sides[name], inputs[name]
        seen = see(hidden_states(model, batch), head_weight(model), batch, batch["reference"])
        return batch["share"] * side.definition.loss(seen, self.settings)  # type: ignore[no-any-return]


@dataclass
class BetweenUpdates(TrainerCallback):
    """Looks at the mean token NLL of all forget rows, stops the run by it, and keeps snapshots."""

    look: Callable[[nn.Module], tuple[Tensor, Tensor]]  # summed NLL and tokens of each forget row
    settings: UnlearnSettings
    snapshots: Mapping[int, Path]  # update -> the folder that gets the weights after it

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Look every `log_every` updates, after the last one, and, only to log it, at the ends of
        shorter runs.

        Raises:
            Diverged: the forget NLL or a weight of a snapshot is not finite.
        """
        update, model = state.global_step, kwargs["model"]
        due = update % self.settings.log_every == 0 or update == args.max_steps
        if due or update in self.snapshots:
            sums, counts = self.look(model)
            value = (sums.sum() / counts.sum()).item()
            if not math.isfinite(value):
                raise Diverged(f"the forget NLL is {value} after update {update}")
            state.log_history.append({"step": update, "nll_forget": round(value, 6)})
            if due and self.settings.stop_nll and value >= self.settings.stop_nll:
                control.should_training_stop = True
                control.should_save = False  # a resumed run would go on past the stop
        if update in self.snapshots:  # before the Trainer's checkpoint of the same update
            check_finite(model, f"update {update}")
            with new_folder(self.snapshots[update]) as work:
                save_weights(model, work)
        return control


@quick_bf16_products()
def unlearn(
    model: nn.Module,
    forget: Rows,
    retain: Rows,
    objective: str,
    adapter: Adapter,
    settings: UnlearnSettings,
    seed: int,
    checkpoints: Path,
    snapshots: Mapping[int, Path] = {},
) -> list[dict[str, Any]]:
    """Train `model` in place until its epochs are over or its forget NLL is reached.

    Args:
        model: the target, in the form that `adapters.with_adapter` gives it.
        forget, retain: rows of token ids; an epoch is a pass over `forget`, each row of which is
            joined by a retain row drawn with replacement.
        checkpoints: folder of this run's checkpoints; training resumes from the last whole one.
        snapshots: update -> the folder that gets the weights after it. Under a constant learning
            rate the first five epochs of a run of ten are a run of five, to the last bit, so that
            one training serves several epoch counts.

    Returns:
        The log, one dict a line: loss, its terms, gradient norm, forget NLL.

    Raises:
        Diverged: the loss, the forget NLL or a weight is not finite.
        InputError: settings contradict each other, or out of GPU memory.
    """
    micro = sharding.micro_batch(settings)
    parts = settings.batch_size // micro  # of an update, over all processes
    updates = count_updates(settings.epochs, len(forget), settings.batch_size)
    pairs = draw_pairs(len(forget), len(retain), updates * settings.batch_size, seed)
    sides: dict[str, Side] = {}

    def collate_pairs(places: list[int]) -> dict[str, Any]:
        """Of each side a batch, and the factor by which its term's mean over the batch enters the
        mean of all parts of an update, so that this is the term's mean over the whole update.
        """
        first = places[0] - places[0] % settings.batch_size
        update = pairs[first : first + settings.batch_size]
        batches = {}
        for which, (name, side) in enumerate(sides.items()):
            own = [pairs[place][which] for place in places]
            share = parts * side.size(own) / side.size([pair[which] for pair in update])
            batch: dict[str, Any] = {**collate([side.rows[index] for index in own])}
            batches[name] = batch | {"reference": side.reference(own), "share": share}
        return batches

    def look(model: nn.Module) -> tuple[Tensor, Tensor]:
        return row_nll(model, forget, 2 * micro, trainer.autocast)

    trainer = _Unlearner(
        model,
        settings,
        checkpoints,
        range(len(pairs)),
        collate_pairs,
        updates=updates,
        rows=micro,
        seed=seed,
        autocast=settings.autocast and adapter not in IN_BF16,
        optimizer=StochasticAdamW if adapter == "full_sr" else None,
        callbacks=[BetweenUpdates(look, settings, snapshots)],
        lr_scheduler_type="constant",
        gradient_accumulation_steps=parts // settings.processes,
        max_grad_norm=settings.clip,
        **sharding.trainer_settings(settings),
    )
    trainer.sides, trainer.settings = sides, settings
    for term in Objective.parse(objective).terms:
        definition, file = (
            term.definition(settings.variant),
            checkpoints / f"{term.rows}{sharding.rank()}",
        )
        forgets = term.rows == "forget"
        rows, weight = (forget, settings.gamma) if forgets else (retain, settings.alpha)
        known = remember(definition.reference, model, rows, 2 * micro, trainer.autocast, file)
        sides[term.rows] = Side(definition, weight, rows, known)
    return trainer.run()


def save_weights(model: Any, folder: Path) -> None:
    """Write a checkpoint without its tokenizer, or a PEFT adapter."""
    if hasattr(model, "peft_config"):
        # An adapter is kept beside whatever target it is merged into; a path would tie it down.
        model.peft_config["default"].base_model_name_or_path = "target"
        model.save_pretrained(folder, save_embedding_layers=False)  # else peft asks the hub
    elif not sharding.is_sharded(model):
        model.save_pretrained(folder)
    elif state := sharding.gather(model):
        model.save_pretrained(folder, state_dict=state)
