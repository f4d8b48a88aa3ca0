"""Tables of a Markdown document, of values as they stand in manifests."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def settings_table(settings: Mapping[str, Any]) -> str:
    """Two columns: each setting in code type, and its value."""
    return table(("Setting", "Value"), [(f"`{key}`", value) for key, value in settings.items()])


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A pipe table; a `|` inside a cell is escaped."""
    lines = [head, ["---"] * len(head), *([_plain(value) for value in row] for row in rows)]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", r"\|") for cell in x) + " |" for x in lines
    )


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format(value, ".12g") if isinstance(value, float) else str(value)
