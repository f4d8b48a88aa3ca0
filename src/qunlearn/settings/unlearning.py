"""What decides an unlearning run."""

from dataclasses import dataclass
from typing import Literal

from qunlearn.settings.rows import Chunking

Adapter = Literal["full", "full_bf16", "lora"]
Variant = Literal["paper", "muse"]
Targets = Literal["all", "qv", "odu"]
Optimizer = Literal["adamw", "adamw_8bit"]
Sharding = Literal["none", "fsdp"]


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
        variant: whose definitions of NPO and KLR: open-unlearning's, which the paper uses, or the
            MUSE benchmark's, on raw logits (`training.objectives` says more).
        clip: largest gradient norm.
        max_tokens: longest row in tokens.
        chunking: as in training.
        autocast: multiply in bf16; `full_bf16` does so in any case.
        gradient_checkpointing: compute each layer again in the backward pass: the same numbers
            with less memory, in a third more time.
        optimizer: AdamW, or bitsandbytes' with moments in 8 bits.
        sharding: spread weights, gradients and optimizer state of `full` and `full_bf16` over
            processes (FSDP2), or not.
        processes: how many, one a GPU; each takes its part of the batch.
        offload: keep the shards in the host's memory while they do not compute.
        rank: rank of the LoRA matrices.
        lora_alpha: LoRA's numerator; the update is lora_alpha / rank * B A.
        dropout: LoRA's dropout.
        targets: layers under LoRA: every linear one but the head, the queries and values, or the
            output, down and up projections.
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
    variant: Variant = "paper"
    clip: float = 1.0
    max_tokens: int = 256
    chunking: Chunking = "documents"
    autocast: bool = True
    gradient_checkpointing: bool = False
    optimizer: Optimizer = "adamw"
    sharding: Sharding = "none"
    processes: int = 1
    offload: bool = False
    rank: int = 16
    lora_alpha: float = 16.0
    dropout: float = 0.05
    targets: Targets = "all"
    log_every: int = 10
    checkpoint_every: int = 100
