"""A run of ordinary training: from a model in memory to a checkpoint on disk."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qunlearn.models.checkpoints import save_model
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, write_jsonl
from qunlearn.run.fingerprint import code_version
from qunlearn.run.manifest import Stopwatch, fingerprint, made_by, write_manifest
from qunlearn.settings.training import TrainSettings
from qunlearn.training.finetune import finetune
from qunlearn.training.preemption import held
from qunlearn.training.trainer import LOG, Diverged


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
    stopwatch = Stopwatch()
    mine = checkpoints / fingerprint(
        step=step,
        seed=seed,
        settings=training,
        inputs=dict(inputs),
        facts=facts,
        code=code_version(Path(__file__)),
    )
    before = output.exists()
    with held(mine):
        if not before and made_by(output, mine.name):
            return  # by the process that was waited for
        with new_folder(output) as work:
            try:
                log = finetune(model, tokenizer, texts, training, seed, mine)
            except Diverged as error:
                shutil.rmtree(mine, ignore_errors=True)
                raise InputError(f"{step}: {error}; lower its lr {training.lr}") from None
            save_model(model.to(torch.bfloat16), tokenizer, work)
            write_jsonl(work / LOG, log)
            write_manifest(
                work,
                step=step,
                settings=training,
                inputs=inputs,
                stopwatch=stopwatch,
                seed=seed,
                run=mine.name,
                **facts,
            )
