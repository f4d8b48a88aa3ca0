"""What decides the shape of a model that is trained from scratch."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Count, Positive


@dataclass(frozen=True, config=STRICT)
class ModelSettings:
    """A small Llama that is trained from scratch, with its own tokenizer."""

    vocabulary: Annotated[Count, Field(ge=300)] = 1024
    """Tokens of its byte-level BPE."""
    hidden: Annotated[Count, Field(ge=32)] = 256
    """Width of the residual stream; let 64 and 128 divide it."""
    mlp: Annotated[Count, Field(ge=32)] = 768
    """Width inside the MLP; let 64 and 128 divide it."""
    layers: Count = 4
    """Decoder layers."""
    heads: Count = 4
    """Attention heads."""
    context: Annotated[Count, Field(ge=16)] = 512
    """Longest sequence in tokens."""
    init_std: Positive = 0.05
    """Standard deviation of the initial weights."""
