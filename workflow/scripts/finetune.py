"""Train base, target or retrain: the base from scratch, the others from the base.

Args:
    corpus: folder in MUSE's layout.
    splits: pretrain for the base; forget retain1 retain2 for the target; retain1 retain2 for
        retrain.
    output: folder for the checkpoint (bf16 safetensors and tokenizer).
    checkpoints: folder that a killed run resumes from; emptied at the end.
    training: settings of the training.
    architecture: shape of a model trained from scratch.
    base: checkpoint to start from; without one, the model and its tokenizer are new.
    seed: decides the order of the rows and the initial weights of a new model.
"""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import hide_unused, run_script
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
    given = locals()

    hide_unused()
    from qunlearn.training.finetune import train_and_keep

    train_and_keep(**given)
