"""One thing that was looked at before the first long job."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        check: what.
        of: the configuration's key, or the part of the machine.
        status: `warning`: it may go wrong, or could not be told.
        numbers: what was compared.
        note: of a warning.
    """

    check: str
    of: str
    status: Literal["ok", "warning"] = "ok"
    numbers: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
