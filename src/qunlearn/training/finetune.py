"""Ordinary next-token training: the base on generic text, target and retrain on the corpus."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qunlearn.corpora import layout
from qunlearn.models.checkpoints import load_model, load_tokenizer, save_model
from qunlearn.models.scratch import new_llama, train_tokenizer
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, write_jsonl
from qunlearn.run.manifest import write_manifest
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.training.losses import head_weight, hidden_states, token_nll
from qunlearn.training.products import quick_bf16_products
from qunlearn.training.rows import collate, count_updates, make_rows, shuffled_passes
from qunlearn.training.trainer import LOG, Diverged, RepeatableTrainer, locked


class _NextToken(RepeatableTrainer):
    """Mean token NLL in bf16 autocast over fp32 weights."""

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        with self.autocast():
            hidden = hidden_states(model, inputs)
            labels = inputs["labels"]
            total, mask = token_nll(hidden, head_weight(model), labels, summed=True)
            return total / mask.sum()


@quick_bf16_products()
def train_and_keep(
    corpus: Path,
    splits: Sequence[str],
    output: Path,
    checkpoints: Path,
    training: TrainSettings,
    architecture: ModelSettings,
    base: Path | None = None,
    seed: int = 0,
) -> None:
    """Train `base`, or a new model, on the raw text of `splits`; keep it rounded to bf16, as
    released models are. The arguments are those of workflow/scripts/finetune.py.

    Raises:
        InputError: training diverged, so that there is no model to go on with, or out of GPU
            memory.
    """
    raw = layout.load(corpus, pretrain=base is None).raw
    texts = [text for split in splits for text in raw[split]]
    made_from: dict[str, Any] = {"seed": seed, "settings": training, "inputs": {"corpus": corpus}}
    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    if base is None:
        made_from |= {"step": "train_base", "architecture": asdict(architecture)}
        tokenizer = fresh = train_tokenizer(texts, architecture)
        model = new_llama(architecture, fresh, seed)
    else:
        made_from |= {"step": "finetune", "splits": splits}
        made_from["inputs"] |= {"base": base}
        tokenizer, model = load_tokenizer(base), load_model(base, torch.float32)
    rows = make_rows(texts, tokenizer, training.max_tokens, training.chunking)
    updates = count_updates(training.epochs, len(rows), training.batch_size)
    order = shuffled_passes(len(rows), updates * training.batch_size, seed)
    with locked(checkpoints, Path(__file__), **made_from) as mine, new_folder(output) as work:
        trainer = _NextToken(
            model,
            training,
            mine,
            [rows[index] for index in order],
            collate,
            updates=updates,
            rows=training.batch_size,
            seed=seed,
            autocast=training.autocast,
            lr_scheduler_type="cosine",
            warmup_steps=training.warmup,
        )
        try:
            log = trainer.run()
        except Diverged as error:
            shutil.rmtree(mine, ignore_errors=True)
            raise InputError(f"training: {error}; lower its lr {training.lr}") from None
        save_model(model.to(torch.bfloat16), tokenizer, work)
        write_jsonl(work / LOG, log)
        write_manifest(work, **made_from)
