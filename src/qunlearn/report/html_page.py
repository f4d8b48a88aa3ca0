"""An HTML page that needs no other file, and tables on it."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from qunlearn.report.templates import fill


def page(title: str, body: str, notes: Sequence[str] = ()) -> str:
    """An HTML page around `body`, which is HTML already; title and notes are plain text."""
    return fill("page.html.j2", title=title, body=body, notes=notes)


def html_table(frame: pd.DataFrame, **options: Any) -> str:
    """A table as HTML, every cell whole."""
    with pd.option_context("display.max_colwidth", None):
        return str(frame.to_html(border=0, **options))
