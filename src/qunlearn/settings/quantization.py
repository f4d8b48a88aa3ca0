"""What decides how GPTQ quantizes."""

from dataclasses import dataclass
from typing import Literal

CalibrationSplit = Literal["retain1", "retain2"]
GptqBackend = Literal["gptqmodel", "auto-gptq"]


@dataclass(frozen=True)
class CalibrationSettings:
    """The texts that GPTQ measures a layer's inputs on.

    The defaults make 65,000 tokens: several for each of the inputs of the widest layer of a model
    of 7 billion parameters (11,008), in a quarter of the time of the customary 128 x 2048.

    Attributes:
        split: the raw texts that are drawn from; never forget or holdout.
        sequences: windows drawn.
        length: tokens a window.
        seed: decides the order of the texts and the draw.
    """

    split: CalibrationSplit = "retain1"
    sequences: int = 128
    length: int = 512
    seed: int = 0
