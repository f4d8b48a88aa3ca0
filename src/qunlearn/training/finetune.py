"""Ordinary next-token training: the base on generic text, target and retrain on the corpus."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, set_seed

from qunlearn.settings.training import TrainSettings
from qunlearn.training.bf16 import quick_bf16_products
from qunlearn.training.losses import (
    head_weight,
    hidden_states,
    mean_nll,
    suit_attention,
    token_nll,
)
from qunlearn.training.rows import collate, make_rows, pad_id
from qunlearn.training.trainer import (
    RepeatableTrainer,
    Steps,
    arguments,
    told_when_out_of_memory,
    train,
)


class _NextToken(RepeatableTrainer):
    """Mean token NLL in bf16 autocast over fp32 weights."""

    autocast = True

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        device = inputs["input_ids"].device.type
        with torch.autocast(
            device,
            dtype=torch.bfloat16,
            enabled=self.autocast,
            cache_enabled=not self.args.gradient_checkpointing,
        ):
            hidden = hidden_states(model, inputs)
            return mean_nll(*token_nll(hidden, head_weight(model), inputs["labels"]))


@told_when_out_of_memory("batch_size")
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
    pad = pad_id(tokenizer)
    trainer = _NextToken(
        model=model,
        args=arguments(
            checkpoints,
            updates=updates,
            lr=settings.lr,
            schedule="cosine",
            warmup=settings.warmup,
            batch_size=settings.batch_size,
            accumulation=1,
            clip=1.0,
            log_every=settings.log_every,
            checkpoint_every=settings.checkpoint_every,
            seed=seed,
            gradient_checkpointing=settings.gradient_checkpointing,
        ),
        train_dataset=Steps([rows[index] for index in order]),
        data_collator=lambda picked: collate(picked, pad),
    )
    trainer.autocast = settings.autocast
    suit_attention(model, trainer.args.device)
    return train(trainer)


def shuffled_passes(items: int, length: int, seed: int) -> list[int]:
    """The first `length` indices of endless passes over range(items), each pass shuffled anew."""
    generator = random.Random(f"order/{seed}")
    order: list[int] = []
    for _ in range(math.ceil(length / items)):
        order += generator.sample(range(items), items)
    return order[:length]
