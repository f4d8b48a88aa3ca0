"""Tables of a Markdown document, of values as they stand in manifests."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd


def settings_table(settings: Mapping[str, Any]) -> str:
    """Two columns: each setting in code type, and its value."""
    return table(("Setting", "Value"), [(f"`{key}`", value) for key, value in settings.items()])


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[str] = ()
) -> str:
    """A pipe table; a `|` inside a cell is escaped.

    Args:
        right: the columns that are aligned right.
    """
    frame = pd.DataFrame([[_plain(value) for value in row] for row in rows], columns=list(head))
    align = ["right" if name in right else "left" for name in head]
    text = frame.to_markdown(index=False, disable_numparse=True, colalign=align)
    return str(text)


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = format(value, ".12g") if isinstance(value, float) else str(value)
    return text.replace("|", r"\|")
