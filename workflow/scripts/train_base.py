"""Train a small Llama and its tokenizer from scratch on the corpus's generic text."""

from dataclasses import asdict
from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.training import TrainSettings


def main(
    corpus: Path,
    output: Path,
    checkpoints: Path,
    model: ModelSettings,
    training: TrainSettings,
    seed: int = 0,
) -> None:
    """Train the base model, which has seen neither forget nor retain text.

    Args:
        corpus: folder in MUSE's layout, with raw/pretrain.json.
        output: folder for the checkpoint (bf16 safetensors and tokenizer).
        checkpoints: folder for what a killed run resumes from; emptied at the end.
        model: shape of the model.
        training: how it is trained.
        seed: decides the initial weights and the order of the rows.
    """
    from qunlearn.run.imports import OPTIONAL, hide

    hide(*OPTIONAL)
    from qunlearn.corpora.layout import load
    from qunlearn.models.scratch import new_llama, train_tokenizer
    from qunlearn.training.finetune import train_and_keep

    texts = load(corpus, pretrain=True).raw["pretrain"]
    tokenizer = train_tokenizer(texts, model)
    train_and_keep(
        new_llama(model, tokenizer, seed),
        tokenizer,
        texts,
        training,
        step="train_base",
        seed=seed,
        inputs={"corpus": corpus},
        output=output,
        checkpoints=checkpoints,
        architecture=asdict(model),
    )


if __name__ == "__main__":
    run_script(main)
