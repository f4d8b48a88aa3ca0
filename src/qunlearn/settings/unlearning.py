"""What decides an unlearning run."""

from dataclasses import dataclass
from typing import Literal

from qunlearn.settings.rows import Chunking

Objective = Literal["ga", "npo", "ga_gdr", "ga_klr", "npo_gdr", "npo_klr"]
Adapter = Literal["full", "full_bf16", "lora"]


@dataclass(frozen=True)
class UnlearnSettings:
    """Unlearning: loss = gamma * forget term + alpha * retain term.

    Attributes:
        lr: constant learning rate of AdamW without weight decay.
        epochs: passes over the forget rows, at most.
        stop_nll: stop once the mean token NLL of the forget rows reaches this; 0: never.
        batch_size: forget rows an update, each with a retain row drawn with replacement.
        micro_batch_size: rows a forward pass (gradients accumulate); 0: the whole batch.
        gamma: weight of the forget term.
        alpha: weight of the retain term.
        beta: inverse temperature of NPO.
        clip: largest gradient norm.
        max_tokens: longest row in tokens.
        chunking: as in training.
        autocast: multiply in bf16; `full_bf16` does so in any case.
        rank: rank of the LoRA matrices.
        lora_alpha: LoRA's numerator; the update is lora_alpha / rank * B A.
        dropout: LoRA's dropout.
        log_every: updates between two lines of the log and two looks at the stop rule.
        checkpoint_every: updates between two checkpoints; a multiple of `log_every`.
    """

    lr: float = 1e-5
    epochs: float = 5.0
    stop_nll: float = 0.0
    batch_size: int = 16
    micro_batch_size: int = 0
    gamma: float = 1.0
    alpha: float = 1.0
    beta: float = 0.1
    clip: float = 1.0
    max_tokens: int = 256
    chunking: Chunking = "documents"
    autocast: bool = True
    rank: int = 16
    lora_alpha: float = 16.0
    dropout: float = 0.05
    log_every: int = 10
    checkpoint_every: int = 100
