"""What decides an ordinary training."""

from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Chunking, Count, CountOrNone, Positive, Switch, Tokens


@dataclass(frozen=True, config=STRICT)
class TrainSettings:
    """Ordinary training: of the base from scratch, of target and retrain from the base."""

    epochs: Positive = 1.0
    """Passes over the rows."""
    lr: Positive = 1e-3
    """Peak learning rate of AdamW, decaying along a cosine."""
    warmup: CountOrNone = 10
    """Updates over which the learning rate first rises."""
    batch_size: Count = 16
    """Rows an update."""
    max_tokens: Tokens = 256
    """Longest row in tokens."""
    chunking: Chunking = "documents"
    """`documents`: rows keep to a document; `stream`: documents are joined and cut into equal
    rows."""
    autocast: Switch = True
    """Multiply in bf16."""
    gradient_checkpointing: Switch = False
    """Compute each layer again in the backward pass: less memory in a third more time; the same
    numbers but for rounding under autocast."""
    log_every: Count = 10
    """Updates between two lines of the log."""
    checkpoint_every: Count = 100
    """Updates between two checkpoints; a multiple of `log_every`."""
