"""The words of tables, cards and pages: Jinja2 templates beside this module, and filters."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from qunlearn.analysis.verdicts import ClaimVerdict, ReversionVerdict
from qunlearn.experiment import labels
from qunlearn.experiment.names import REFERENCES

VERDICTS = (*get_args(ReversionVerdict), *get_args(ClaimVerdict))
_TEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
_TEX |= {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "→": r"$\to$ ", "†": r"$^\dagger$"}
_TEX |= {"–": "--", "<": "$<$", **{sign: f"\\{sign}" for sign in "_&%#${}"}}
_BLOCKS: Any = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}


def fill(template: str, /, **context: Any) -> str:
    """The file `template`, filled with the values and functions of `context`.

    In HTML, values are escaped; in LaTeX and reStructuredText, names are. In all formats but HTML,
    blank lines that belong to parts left out go with them.

    Raises:
        jinja2.UndefinedError: the template uses a name that `context` lacks.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        **_BLOCKS,
    )
    escape = {"tex": tex, "rst": rst}.get(template.split(".")[-2], str)
    for name in ("corpus", "method", "adapter", "precision"):
        environment.filters[name] = _named(getattr(labels, f"{name}_name"), escape)
    environment.filters |= {"metric": labels.METRICS.__getitem__, "escaped": escape, "tally": tally}
    environment.filters |= {"fixed": format, "listed": listed, "span": span, "interval": interval}
    environment.globals |= {"plain": plain, "labels": labels, "REFERENCES": REFERENCES}
    text = environment.get_template(template).render(context)
    if template.endswith(".html.j2"):
        return text
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def notes(template: str, /, **context: Any) -> list[str]:
    """The lines of a template that holds a note a line, each once."""
    return [line for line in dict.fromkeys(fill(template, **context).splitlines()) if line]


def _named(label: Callable[[str], str], escape: Callable[[str], str]) -> Callable[[str], str]:
    return lambda name: escape(label(name))


def rst(text: str) -> str:
    """`text` without meaning in reStructuredText."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def tex(text: str) -> str:
    """`text` without meaning in LaTeX."""
    return text.translate({ord(sign): words for sign, words in _TEX.items()})


def listed(items: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def span(values: Iterable[float], form: str) -> str:
    """`0.04 to 0.05`, or the one number where both ends look alike."""
    ends = sorted(values)
    low, high = format(ends[0], f"z{form}"), format(ends[-1], f"z{form}")
    return low if low == high else f"{low} to {high}"


def tally(verdicts: Sequence[str]) -> str:
    """`came back in 2, survived in 28`, in the order of `VERDICTS`."""
    counts = Counter(verdicts)
    return ", ".join(f"{name} in {counts[name]}" for name in VERDICTS if counts[name])


def interval(found: Any) -> str:
    """`0.88 [0.87, 0.90]` of a summary or reversion score, or the word for why there is none.

    Says how many seeds have a number, where not all do.
    """
    if found.value is None:
        return str(found.absent)
    shown = f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]"
    left = found.counted
    return shown if left == found.seeds else f"{shown} ({left} of {found.seeds} seeds)"


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
