"""What decides an ordinary training."""

from dataclasses import dataclass

from qunlearn.settings.rows import Chunking


@dataclass(frozen=True)
class TrainSettings:
    """Ordinary training: of the base from scratch, of target and retrain from the base.

    Attributes:
        epochs: passes over the rows.
        lr: peak learning rate of AdamW, which decays to 0 along a cosine.
        warmup: updates over which the learning rate first rises.
        batch_size: rows an update.
        max_tokens: longest row in tokens, with those that the tokenizer begins a text with.
        chunking: `documents`: a row never crosses a document; `stream`: documents are joined by
            a blank line and cut into equal rows.
        autocast: multiply in bf16 (weights, gradients and optimizer stay fp32).
        gradient_checkpointing: compute each layer again in the backward pass: the same numbers
            with less memory, in a third more time.
        log_every: updates between two lines of the log.
        checkpoint_every: updates between two checkpoints; a multiple of `log_every`.
    """

    epochs: float = 1.0
    lr: float = 1e-3
    warmup: int = 10
    batch_size: int = 16
    max_tokens: int = 256
    chunking: Chunking = "documents"
    autocast: bool = True
    gradient_checkpointing: bool = False
    log_every: int = 10
    checkpoint_every: int = 100
