"""Ordinary next-token training: the base on generic text, target and retrain on the corpus."""

import math
import random
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from qunlearn.models.checkpoints import save_model
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, write_jsonl
from qunlearn.run.fingerprint import code_version
from qunlearn.run.manifest import fingerprint, write_manifest
from qunlearn.settings.training import TrainSettings
from qunlearn.training.losses import (
    Autocast,
    bf16_autocast,
    choose_attention,
    head_weight,
    hidden_states,
    mean_nll,
    token_nll,
)
from qunlearn.training.products import quick_bf16_products
from qunlearn.training.rows import collate, make_rows
from qunlearn.training.trainer import (
    LOG,
    OPTIMIZERS,
    Diverged,
    RepeatableTrainer,
    arguments,
    locked,
    train,
)


class _NextToken(RepeatableTrainer):
    """Mean token NLL in bf16 autocast over fp32 weights."""

    autocast: Autocast

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        with self.autocast():
            hidden = hidden_states(model, inputs)
            return mean_nll(*token_nll(hidden, head_weight(model), inputs["labels"]))


@quick_bf16_products()
def finetune(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    settings: TrainSettings,
    seed: int,
    checkpoints: Path,
) -> list[dict[str, Any]]:
    """Train all of `model` (fp32) in place on `texts`; return the log.

    Args:
        checkpoints: folder of this run's checkpoints; training resumes from the last whole one.

    Raises:
        Diverged: the loss or a weight is not finite.
        InputError: out of GPU memory.
    """
    set_seed(seed)
    rows = make_rows(texts, tokenizer, settings.max_tokens, settings.chunking)
    updates = max(1, round(settings.epochs * len(rows) / settings.batch_size))
    order = shuffled_passes(len(rows), updates * settings.batch_size, seed)
    trainer = _NextToken(
        model=model,
        args=arguments(
            checkpoints,
            settings,
            updates=updates,
            rows=settings.batch_size,
            seed=seed,
            lr_scheduler_type="cosine",
            warmup_steps=settings.warmup,
            optim=OPTIMIZERS["adamw"],
        ),
        train_dataset=[rows[index] for index in order],
        data_collator=collate,
    )
    device, checkpointing = trainer.args.device, settings.gradient_checkpointing
    trainer.autocast = bf16_autocast(device, settings.autocast, checkpointing)
    choose_attention(model, device)
    return train(trainer)


def train_and_keep(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    training: TrainSettings,
    *,
    step: str,
    seed: int,
    inputs: Mapping[str, Path],
    output: Path,
    checkpoints: Path,
    **facts: Any,
) -> None:
    """Train `model` on `texts`; keep it rounded to bf16, as released models are.

    Args:
        inputs: what the step read, by name.
        checkpoints: where runs keep what they resume from; this run's part is removed at the end.
        facts: further lines of the manifest; they tell this run's checkpoints from another's.

    Raises:
        InputError: training diverged, so that there is no model to go on with.
    """
    made_from: dict[str, Any] = {
        "step": step,
        "seed": seed,
        "settings": training,
        "inputs": dict(inputs),
    }
    mine = checkpoints / fingerprint(**made_from, facts=facts, code=code_version(Path(__file__)))
    with locked(mine), new_folder(output) as work:
        try:
            log = finetune(model, tokenizer, texts, training, seed, mine)
        except Diverged as error:
            shutil.rmtree(mine, ignore_errors=True)
            raise InputError(f"{step}: {error}; lower its lr {training.lr}") from None
        save_model(model.to(torch.bfloat16), tokenizer, work)
        write_jsonl(work / LOG, log)
        write_manifest(work, **made_from, **facts)


def shuffled_passes(items: int, length: int, seed: int) -> list[int]:
    """The first `length` indices of endless passes over range(items), each pass shuffled anew.

    The order is made before training, so that a resumed run sees what an undisturbed one sees.
    """
    generator = random.Random(f"order/{seed}")
    order: list[int] = []
    for _ in range(math.ceil(length / items)):
        order += generator.sample(range(items), items)
    return order[:length]
