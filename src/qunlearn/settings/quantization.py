"""The settings of GPTQ."""

from typing import Literal

from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Count, Seed

CalibrationSplit = Literal["retain1", "retain2"]


@dataclass(frozen=True, config=STRICT)
class CalibrationSettings:
    """The texts that GPTQ calibrates on.

    The defaults make 65,000 tokens: several for each of the inputs of the widest layer of a model
    of 7 billion parameters (11,008), in a quarter of the time of the customary 128 x 2048.
    """

    split: CalibrationSplit = "retain1"
    """Raw texts to draw from. Forget texts would tune the rounding to what is to be forgotten,
    holdout texts must stay unseen, and Utility's questions are about `retain2`."""
    sequences: Count = 128
    """Number of windows, drawn without replacement."""
    length: Count = 512
    """Tokens per window; at most the model's context."""
    seed: Seed = 0
    """Seed of the draw."""
