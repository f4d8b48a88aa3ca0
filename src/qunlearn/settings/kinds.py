"""The types of values that a setting can have, and how strictly they are read.

Strict: 1.0 is not an integer, 1 is not a switch, and "1e-5" is not a number.
"""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StrictBool

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)
"""Common to all classes of settings."""

LARGEST = 2**31 - 1
"""The largest seed or size that every library accepts."""

Switch = StrictBool
Count = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
CountOrNone = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Seed = CountOrNone
Positive = Annotated[float, Field(strict=True, gt=0)]
NotNegative = Annotated[float, Field(strict=True, ge=0)]
Tokens = Annotated[int, Field(strict=True, ge=2, le=LARGEST)]
"""The length of a sequence in which at least one token is predicted."""
Chunking = Literal["documents", "stream"]
"""How texts become rows."""
