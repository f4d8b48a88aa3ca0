"""Unlearning: push the forget rows away, hold the retain rows where they are."""

import random
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import set_seed

from qunlearn.settings.unlearning import Adapter, Objective, UnlearnSettings
from qunlearn.training.bf16 import quick_bf16_products
from qunlearn.training.finetune import shuffled_passes
from qunlearn.training.losses import (
    head_weight,
    hidden_states,
    mean_nll,
    suit_attention,
    token_nll,
)
from qunlearn.training.objectives import (
    Terms,
    elementwise_npo,
    gradient_ascent,
    mean_kl,
    npo,
    raw_kl,
)
from qunlearn.training.reference import Autocast, CachedStates, Rows
from qunlearn.training.rows import collate
from qunlearn.training.sharding import micro_batch, rank, trainer_settings, within
from qunlearn.training.snapshots import Snapshots, count_updates
from qunlearn.training.stopping import StopAtForgetNll, spread_row_nll
from qunlearn.training.trainer import (
    RepeatableTrainer,
    Steps,
    arguments,
    told_when_out_of_memory,
    train,
)

Pair = tuple[int, int]  # indices of a forget row and of the retain row beside it


class _Unlearner(RepeatableTrainer):
    """loss = gamma * forget + alpha * retain."""

    terms: Terms
    settings: UnlearnSettings
    autocast: Autocast
    forget_nll: Tensor | None = None  # NPO: [forget rows], of the reference, nats
    forget_reference: CachedStates | None = None  # NPO of variant muse
    reference: CachedStates | None = None  # KLR

    def weigh(self, inputs: Any) -> dict[str, int]:
        """NPO is a mean over rows, KLR over tokens (`muse`: the other way round), GA and GDR are
        means over predicted tokens.
        """
        rows = len(inputs["pairs"])
        forget, retain = (int(inputs[key]["attention_mask"].sum()) for key in ("forget", "retain"))
        paper = self.settings.variant == "paper"
        of_npo, of_klr = (rows, retain) if paper else (forget, rows)
        return {
            "forget": of_npo if self.terms.forget == "npo" else forget - rows,
            "retain": of_klr if self.terms.retain == "klr" else retain - rows,
        }

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
        terms = {"loss_forget": self._forget_term(model, inputs)}
        if self.terms.retain is not None:
            terms["loss_retain"] = self._retain_term(model, inputs)
        return terms

    def _one_after_the_other(self, model: nn.Module, inputs: Any) -> dict[str, Tensor]:
        """The terms, where memory is short: forget's backward pass is over before retain begins.

        In one backward pass both graphs are there, and the first one's gradients of all weights
        wait for the second one's: at 7B 27 GB. The sums are the same but for rounding.
        """
        with self.autocast():
            forget = self._forget_term(model, inputs)
        if self.terms.retain is None:
            return {"loss_forget": forget}
        steps = self.current_gradient_accumulation_steps  # what the Trainer divides a loss by
        self.accelerator.backward(self.settings.gamma * forget / steps)
        with self.autocast():
            retain = self._retain_term(model, inputs)
        return {"loss_forget": forget.detach(), "loss_retain": retain}

    def _forget_term(self, model: nn.Module, inputs: Any) -> Tensor:
        batch, rows = inputs["forget"], [forget for forget, _ in inputs["pairs"]]
        hidden, head = hidden_states(model, batch), head_weight(model)
        if self.forget_reference is not None:
            before = self.forget_reference.hidden(rows, batch)
            mask, beta = batch["attention_mask"], self.settings.beta
            term = elementwise_npo(hidden, head, before, self.forget_reference.head, mask, beta)
        elif self.terms.forget == "ga":
            term = gradient_ascent(*token_nll(hidden, head, batch["labels"]))
        else:
            assert self.forget_nll is not None
            nll, mask = token_nll(hidden, head, batch["labels"])
            term = npo(nll, mask, self.forget_nll[rows].to(nll.device), self.settings.beta)
        return self.share("forget", term, inputs)

    def _retain_term(self, model: nn.Module, inputs: Any) -> Tensor:
        batch = inputs["retain"]
        hidden, head = hidden_states(model, batch), head_weight(model)
        if self.terms.retain == "gdr":
            term = mean_nll(*token_nll(hidden, head, batch["labels"]))
        else:
            assert self.reference is not None
            before = self.reference.hidden([retain for _, retain in inputs["pairs"]], batch)
            mask = batch["attention_mask"]
            divergence = mean_kl if self.settings.variant == "paper" else raw_kl
            term = divergence(hidden, head, before, self.reference.head, mask)
        return self.share("retain", term, inputs)


@told_when_out_of_memory("micro_batch_size")
@quick_bf16_products()
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
    terms = Terms.of(objective)
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
    if terms.forget == "npo" and settings.variant == "paper":
        trainer.forget_nll, _ = look(model)
    if terms.forget == "npo" and settings.variant == "muse":
        file = checkpoints / f"forget_reference{rank()}"
        trainer.forget_reference = within(
            model, CachedStates, forget, pad, 2 * micro, autocast, file
        )
    if terms.retain == "klr":
        file = checkpoints / f"reference{rank()}"
        trainer.reference = within(model, CachedStates, retain, pad, 2 * micro, autocast, file)
    return train(trainer)


def draw_pairs(forget: int, retain: int, length: int, seed: int) -> list[Pair]:
    """Shuffled passes over the forget rows, each row beside a random retain row."""
    generator = random.Random(f"retain/{seed}")
    return [(index, generator.randrange(retain)) for index in shuffled_passes(forget, length, seed)]
