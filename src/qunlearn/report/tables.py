"""Tables as Markdown, and HTML pages that need no other file."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import pandas as pd

from qunlearn.report.templates import fill


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[str] = ()
) -> str:
    """A pipe table; a `|` inside a cell is escaped.

    Args:
        right: the columns that are aligned right.
    """
    frame = pd.DataFrame([[plain(value) for value in row] for row in rows], columns=list(head))
    align = ["right" if name in right else "left" for name in head]
    return str(frame.to_markdown(index=False, disable_numparse=True, colalign=align))


def plain(value: object) -> str:
    """A value of a manifest or table in print."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    text = format(value, ".12g") if isinstance(value, float) else str(value)
    return text.replace("|", r"\|")


def html_table(frame: pd.DataFrame, **options: Any) -> str:
    """A table as HTML, every cell whole."""
    with pd.option_context("display.max_colwidth", None):
        return str(frame.to_html(border=0, **options))


def page(title: str, body: str, notes: Sequence[str] = ()) -> str:
    """An HTML page around `body`, which is HTML already; title and notes are plain text."""
    return fill("page.html.j2", title=title, body=body, notes=notes)
