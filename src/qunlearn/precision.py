"""The names of the precisions that a model can be shipped in."""

import re
from dataclasses import dataclass

from qunlearn.errors import InputError

BITSANDBYTES = ("int8", "fp4", "nf4")
_RTN = re.compile(r"rtn(?P<bits>[2-8])(?:g(?P<group>[1-9]\d*))?")


@dataclass(frozen=True)
class Precision:
    """A parsed precision name.

    Attributes:
        name: as written in the configuration, e.g. `rtn3g64`.
        method: `bf16`, `int8`, `fp4`, `nf4` or `rtn`.
        bits: bits a weight (16 for bf16).
        group: weights that share one scale along a row; None where the method sets its own grid
            (bitsandbytes: blocks of 64) or a whole row shares one (`rtn<bits>`).
    """

    name: str
    method: str
    bits: int
    group: int | None = None

    @classmethod
    def parse(cls, name: str) -> "Precision":
        """Read a name such as `bf16`, `nf4`, `rtn4` or `rtn3g64`.

        Raises:
            InputError: no precision has this name.
        """
        if name == "bf16":
            return cls(name, "bf16", 16)
        if name in BITSANDBYTES:
            return cls(name, name, 8 if name == "int8" else 4)
        if match := _RTN.fullmatch(name):
            group = match["group"]
            return cls(name, "rtn", int(match["bits"]), int(group) if group else None)
        raise InputError(
            f"precision '{name}' is unknown; use bf16, int8, fp4, nf4, "
            "rtn<bits> or rtn<bits>g<group> (bits 2-8), e.g. rtn4 or rtn3g64"
        )
