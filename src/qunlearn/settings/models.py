"""The shape of a model trained from scratch."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Count, Positive


@dataclass(frozen=True, config=STRICT)
class ModelSettings:
    """A small Llama trained from scratch, with its own tokenizer."""

    vocabulary: Annotated[Count, Field(ge=300)] = 1024
    """Size of its byte-level BPE vocabulary."""
    hidden: Annotated[Count, Field(ge=32)] = 256
    """Width of the residual stream; should be divisible by 64 and 128."""
    mlp: Annotated[Count, Field(ge=32)] = 768
    """Width of the MLP; should be divisible by 64 and 128."""
    layers: Count = 4
    """Number of decoder layers."""
    heads: Count = 4
    """Number of attention heads."""
    context: Annotated[Count, Field(ge=16)] = 512
    """Maximum sequence length in tokens."""
    init_std: Positive = 0.05
    """Standard deviation of the initial weights."""
