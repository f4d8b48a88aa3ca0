"""What decides an unlearning run."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import (
    STRICT,
    Chunking,
    Count,
    CountOrNone,
    NotNegative,
    Positive,
    Switch,
    Tokens,
)

Adapter = Literal["full", "full_bf16", "full_sr", "lora"]
IN_BF16: tuple[Adapter, ...] = ("full_bf16", "full_sr")
"""Variants without fp32 masters."""
Variant = Literal["paper", "muse"]
Targets = Literal["all", "qv", "odu"]
Optimizer = Literal["adamw", "adamw_8bit"]
Sharding = Literal["none", "fsdp"]


@dataclass(frozen=True, config=STRICT)
class UnlearnSettings:
    """Unlearning: loss = gamma * forget term + alpha * retain term."""

    lr: Positive = 1e-5
    """Constant learning rate of AdamW."""
    epochs: Positive = 5.0
    """Passes over the forget rows, at most."""
    stop_nll: NotNegative = 0.0
    """Stop once the mean token NLL of the forget rows reaches this; 0 never stops."""
    batch_size: Count = 16
    """Forget rows an update, each with a retain row."""
    micro_batch_size: CountOrNone = 0
    """Rows a forward pass; gradients accumulate; 0 is the whole batch."""
    gamma: NotNegative = 1.0
    """Weight of the forget term."""
    alpha: NotNegative = 1.0
    """Weight of the retain term."""
    beta: Positive = 0.1
    """Inverse temperature of NPO."""
    variant: Variant = "paper"
    """Whose definitions of NPO and KLR: `paper`: open-unlearning's, which the paper uses (NPO of
    summed NLL, a true KL divergence); `muse`: the MUSE benchmark's, on raw logits. Weights cannot
    be carried over from one to the other."""
    clip: Positive = 1.0
    """Largest gradient norm."""
    max_tokens: Tokens = 256
    """Longest row in tokens."""
    chunking: Chunking = "documents"
    """As in training."""
    autocast: Switch = True
    """Multiply in bf16; `full_bf16` and `full_sr` do so in any case."""
    gradient_checkpointing: Switch = False
    """Compute each layer again in the backward pass: less memory in a third more time; the same
    numbers but for rounding under autocast."""
    optimizer: Optimizer = "adamw"
    """`adamw`, or bitsandbytes' with moments in 8 bits (`adamw_8bit`): 2 bytes a weight instead of
    8."""
    sharding: Sharding = "none"
    """`fsdp`: spread weights, gradients and optimizer state of `full` and `full_bf16` over
    `processes` (FSDP2)."""
    processes: Count = 1
    """Processes of a run with `sharding`, one a GPU (ask for as many in `resources.unlearn.gpu`);
    each takes its part of the batch."""
    rank: Count = 16
    """Rank of the LoRA matrices."""
    lora_alpha: Positive = 16.0
    """LoRA's numerator; the update is lora_alpha / rank * B A."""
    dropout: Annotated[NotNegative, Field(lt=1)] = 0.05
    """LoRA's dropout."""
    targets: Targets = "all"
    """Layers under LoRA: `all` linear ones but the head; `qv`: queries and values; `odu`: output,
    down and up projections."""
    log_every: Count = 10
    """Updates between two lines of the log and two looks at the stop rule."""
    checkpoint_every: Count = 100
    """Updates between two checkpoints; a multiple of `log_every`."""


def snapshot_name(epochs: float) -> str:
    """The folder of what a run of so many epochs ends with: `epoch5`, `epoch2.5`."""
    return f"epoch{epochs:g}"
