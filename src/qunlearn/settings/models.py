"""What decides the shape of a model that is trained from scratch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelSettings:
    """A small Llama that is trained from scratch, with its own tokenizer.

    Attributes:
        vocabulary: tokens of the byte-level BPE.
        hidden: width of the residual stream; let 64 and 128 divide it, so that every group fits.
        mlp: width inside the MLP; likewise.
        layers: decoder layers.
        heads: attention heads.
        context: longest sequence in tokens.
        init_std: standard deviation of the initial weights.
    """

    vocabulary: int = 1024
    hidden: int = 256
    mlp: int = 768
    layers: int = 4
    heads: int = 4
    context: int = 512
    init_std: float = 0.05
