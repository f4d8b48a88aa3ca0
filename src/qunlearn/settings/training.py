"""The settings of an ordinary training run."""

from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Chunking, Count, CountOrNone, Positive, Switch, Tokens


@dataclass(frozen=True, config=STRICT)
class TrainSettings:
    """Ordinary training: of the base from scratch, of target and retrain from the base."""

    epochs: Positive = 1.0
    """Number of passes over the rows."""
    lr: Positive = 1e-3
    """Peak learning rate of AdamW, followed by cosine decay."""
    warmup: CountOrNone = 10
    """Number of updates over which the learning rate warms up."""
    batch_size: Count = 16
    """Rows per update."""
    max_tokens: Tokens = 256
    """Maximum row length in tokens."""
    chunking: Chunking = "documents"
    """`documents`: no row spans two documents; `stream`: documents are concatenated, then cut into
    rows of equal length."""
    autocast: Switch = True
    """Whether to multiply in bf16."""
    gradient_checkpointing: Switch = False
    """Whether to recompute each layer in the backward pass: less memory for a third more time; the
    numbers differ only by rounding under autocast."""
    log_every: Count = 10
    """Updates between log entries."""
    checkpoint_every: Count = 100
    """Updates between checkpoints; a multiple of `log_every`."""
