"""How texts become rows."""

from typing import Literal

Chunking = Literal["documents", "stream"]
