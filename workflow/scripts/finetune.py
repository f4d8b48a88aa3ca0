"""Train base, target or retrain: the base from scratch, the others from the base.

Args:
    corpus: folder in MUSE's layout.
    splits: pretrain for the base; forget retain1 retain2 for the target; retain1 retain2 for
        retrain.
    output: folder for the checkpoint (bf16 safetensors and tokenizer).
    checkpoints: folder for what a killed run resumes from; emptied at the end.
    training: how it is trained.
    architecture: shape of a model that is trained from scratch.
    base: checkpoint to start from; without one the model and its tokenizer are new.
    seed: decides the order of the rows and the initial weights of a new model.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.training import TrainSettings

DEFAULT = ModelSettings()


@run_script
def main(
    corpus: Path,
    splits: tuple[Literal["pretrain", "forget", "retain1", "retain2"], ...],
    output: Path,
    checkpoints: Path,
    training: TrainSettings,
    architecture: ModelSettings = DEFAULT,
    base: Path | None = None,
    seed: int = 0,
) -> None:
    from qunlearn.models.checkpoints import check_checkpoint
    from qunlearn.run.imports import OPTIONAL, hide

    if base is not None:
        check_checkpoint(base)
    hide(*OPTIONAL)
    import torch

    from qunlearn.corpora import layout
    from qunlearn.models.checkpoints import load_model, load_tokenizer
    from qunlearn.models.scratch import new_llama, train_tokenizer
    from qunlearn.training.finetune import train_and_keep

    raw = layout.load(corpus, pretrain=base is None).raw
    texts = [text for split in splits for text in raw[split]]
    if base is None:
        tokenizer = train_tokenizer(texts, architecture)
        model = new_llama(architecture, tokenizer, seed)
    else:
        tokenizer, model = load_tokenizer(base), load_model(base, torch.float32)
    train_and_keep(
        model,
        tokenizer,
        texts,
        training,
        step="train_base" if base is None else "finetune",
        seed=seed,
        inputs={"corpus": corpus} if base is None else {"base": base, "corpus": corpus},
        output=output,
        checkpoints=checkpoints,
        **({"architecture": asdict(architecture)} if base is None else {"splits": splits}),
    )
