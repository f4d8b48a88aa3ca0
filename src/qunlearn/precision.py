"""The names of the precisions that a model can be shipped in."""

import re
from dataclasses import dataclass

from qunlearn.errors import InputError

BITSANDBYTES = ("int8", "fp4", "nf4")
GPTQ_GROUP = 128
"""Weights that share a scale where a GPTQ name gives no group: the usual choice."""
_RTN = re.compile(r"rtn(?P<bits>[2-8])(?:g(?P<group>[1-9]\d*))?(?P<midrise>m)?")
_GPTQ = re.compile(r"gptq(?P<bits>[2348])(?:g(?P<group>16|32|64|128|256|512|1024))?")


@dataclass(frozen=True)
class Precision:
    """A parsed precision name.

    Attributes:
        name: as written in the configuration, e.g. `rtn3g64`.
        method: `bf16`, `int8`, `fp4`, `nf4`, `rtn` or `gptq`.
        bits: bits a weight (16 for bf16).
        group: weights that share one scale along a row; None where the method sets its own grid
            (bitsandbytes: blocks of 64) or a whole row shares one (`rtn<bits>`).
        midrise: whether 0 lies between two points of the grid instead of being one (`rtn…m`).
    """

    name: str
    method: str
    bits: int
    group: int | None = None
    midrise: bool = False

    @property
    def stored_bits(self) -> float:
        """Bits of a quantized weight on the disk, with its share of scales and zero points.

        A group of GPTQ has a scale of 16 bits, a block of bitsandbytes' 4 bits one of 32; the grid
        points of RTN are stored as they are, in fp32.
        """
        if self.method == "gptq":
            return self.bits + (16 + self.bits) / (self.group or GPTQ_GROUP)
        return {"rtn": 32.0, "fp4": 4 + 32 / 64, "nf4": 4 + 32 / 64}.get(self.method, self.bits)

    @classmethod
    def parse(cls, name: str) -> "Precision":
        """Read a name such as `bf16`, `nf4`, `gptq4`, `rtn3g64` or `rtn3g64m`.

        Raises:
            InputError: no precision has this name.
        """
        if name == "bf16":
            return cls(name, "bf16", 16)
        if name in BITSANDBYTES:
            return cls(name, name, 8 if name == "int8" else 4)
        if match := _RTN.fullmatch(name):
            group = int(match["group"]) if match["group"] else None
            return cls(name, "rtn", int(match["bits"]), group, match["midrise"] is not None)
        if match := _GPTQ.fullmatch(name):
            return cls(name, "gptq", int(match["bits"]), int(match["group"] or GPTQ_GROUP))
        raise InputError(
            f"precision '{name}' is unknown; use bf16, int8, fp4, nf4, "
            "gptq<bits> or gptq<bits>g<group> (bits 2, 3, 4, 8; groups 16, 32, ... 1024), "
            "rtn<bits> or rtn<bits>g<group> (bits 2-8; with m at the end: mid-rise), "
            "e.g. gptq4 or rtn3g64"
        )
