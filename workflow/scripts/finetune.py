"""Fine-tune the base on parts of a corpus: target on forget and retain, retrain on retain alone."""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script
from qunlearn.settings.training import TrainSettings


def main(
    base: Path,
    corpus: Path,
    splits: tuple[Literal["forget", "retain1", "retain2"], ...],
    output: Path,
    checkpoints: Path,
    training: TrainSettings,
    seed: int = 0,
) -> None:
    """Train every weight of the base on the raw text of `splits`.

    Args:
        base: checkpoint to start from.
        corpus: folder in MUSE's layout.
        splits: forget retain1 retain2 for the target; retain1 retain2 for retrain.
        output: folder for the checkpoint (bf16 safetensors and tokenizer).
        checkpoints: folder for what a killed run resumes from; emptied at the end.
        training: how it is trained.
        seed: decides the order of the rows.
    """
    from qunlearn.models.checkpoints import check_checkpoint

    check_checkpoint(base)
    from qunlearn.run.imports import OPTIONAL, hide

    hide(*OPTIONAL)
    import torch

    from qunlearn.corpora.layout import load
    from qunlearn.models.checkpoints import load_model, load_tokenizer
    from qunlearn.training.finetune import train_and_keep

    raw = load(corpus).raw
    train_and_keep(
        load_model(base, torch.float32),
        load_tokenizer(base),
        [text for split in splits for text in raw[split]],
        training,
        step="finetune",
        seed=seed,
        inputs={"base": base, "corpus": corpus},
        output=output,
        checkpoints=checkpoints,
        splits=splits,
    )


if __name__ == "__main__":
    run_script(main)
