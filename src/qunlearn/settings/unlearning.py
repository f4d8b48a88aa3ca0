"""The settings of an unlearning run."""

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
    """Maximum number of passes over the forget rows."""
    stop_nll: NotNegative = 0.0
    """Stop once the mean token NLL of the forget rows reaches this value; 0: never."""
    batch_size: Count = 16
    """Forget rows per update, each paired with a retain row."""
    micro_batch_size: CountOrNone = 0
    """Rows per forward pass, with gradient accumulation; 0: the whole batch."""
    gamma: NotNegative = 1.0
    """Weight of the forget term."""
    alpha: NotNegative = 1.0
    """Weight of the retain term."""
    beta: Positive = 0.1
    """Inverse temperature of NPO."""
    variant: Variant = "paper"
    """Which definitions of NPO and KLR to use. `paper`: open-unlearning's, as in the paper (NPO on
    the summed NLL, a true KL divergence); `muse`: the MUSE benchmark's, on raw logits. Their
    weights are not interchangeable."""
    clip: Positive = 1.0
    """Maximum gradient norm."""
    max_tokens: Tokens = 256
    """Maximum row length in tokens."""
    chunking: Chunking = "documents"
    """As for `train`."""
    autocast: Switch = True
    """Whether to multiply in bf16; `full_bf16` and `full_sr` always do."""
    gradient_checkpointing: Switch = False
    """Whether to recompute each layer in the backward pass: less memory for a third more time; the
    numbers differ only by rounding under autocast."""
    optimizer: Optimizer = "adamw"
    """`adamw`; or `adamw_8bit`, bitsandbytes' version with 8-bit moments: 2 bytes per weight
    instead of 8."""
    sharding: Sharding = "none"
    """`fsdp`: shard the weights, gradients and optimizer state of `full` and `full_bf16` across
    `processes` (FSDP2)."""
    processes: Count = 1
    """Number of processes of a sharded run, one per GPU (request as many in
    `resources.unlearn.gpu`); each takes a share of the batch."""
    rank: Count = 16
    """Rank of the LoRA matrices."""
    lora_alpha: Positive = 16.0
    """LoRA's scaling numerator; the update is lora_alpha / rank * B A."""
    dropout: Annotated[NotNegative, Field(lt=1)] = 0.05
    """Dropout of LoRA."""
    targets: Targets = "all"
    """Layers that get LoRA matrices. `all`: all linear layers except the head; `qv`: query and
    value projections; `odu`: output, down and up projections."""
    log_every: Count = 10
    """Updates between log entries, and between checks of the stop rule."""
    checkpoint_every: Count = 100
    """Updates between checkpoints; a multiple of `log_every`."""


def snapshot_name(epochs: float) -> str:
    """The folder of the model after some epochs: `epoch5`, `epoch2.5`."""
    return f"epoch{epochs:g}"
