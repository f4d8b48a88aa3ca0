"""The main table as CSV, Markdown, LaTeX and HTML."""

from collections.abc import Callable
from html import escape
from pathlib import Path

import pandas as pd

from qunlearn.analysis.summary import Summary
from qunlearn.experiment.labels import (
    GOALS,
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    number,
    precision_name,
)
from qunlearn.report import markdown
from qunlearn.report.html_page import html_table, page
from qunlearn.report.main_table import MainTable
from qunlearn.report.templates import fill
from qunlearn.run.files import write_text

KEYS = ("Method", "Precision", "Adapter")
_TEX_MARKS = str.maketrans({"–": "--", "†": r"$^\dagger$"})
_TEX = _TEX_MARKS | str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "→": r"$\to$ ",
        "<": "$<$",
        **{sign: f"\\{sign}" for sign in "_&%#${}"},
    }
)
Show = Callable[[str, float, float, float], str]


def write_main_table(table: MainTable, folder: Path) -> None:
    """Write `main.csv`, `main.md`, `main.tex` and `main.html` into `folder`."""
    formats = (("csv", as_csv), ("md", as_markdown), ("tex", as_latex), ("html", as_html))
    for suffix, render in formats:
        write_text(folder / f"main.{suffix}", render(table))


def as_csv(table: MainTable) -> str:
    """One header line, one line a row, `17.2 [13.1, 21.4]` a cell; the notes are left out."""
    shown = _printed(table, _bracketed)
    shown.columns = [f"{corpus_name(corpus)} {METRICS[metric]}" for corpus, metric in table.columns]
    return shown.to_csv(index_label=[key.lower() for key in KEYS], lineterminator="\n")


def as_markdown(table: MainTable) -> str:
    """A pipe table with half-widths, `17.2 ±4.2`, and the notes under it."""
    shown = _printed(table, _half_width, "**{}**")
    heads = list(map(" ".join, shown.columns))
    notes = [*table.notes, "± is half the width of the interval; main.csv has its ends."]
    text = markdown.table((*KEYS, *heads), shown.reset_index().to_numpy().tolist(), right=heads)
    return "\n".join([text, "", *(f"* {note}" for note in notes)]) + "\n"


def as_latex(table: MainTable) -> str:
    r"""A document of its own: a booktabs tabular, `$17.2^{+4.2}_{-4.1}$` a cell, and the notes.

    What stands between the two marks can be put into a paper that uses booktabs.
    """
    shown = _printed(table, _ends, r"{{\boldmath {}}}", _tex).map(_tex_marks)
    rules = {name: rf"\midrule {name}" for name in shown.index.unique(0)[1:]}
    tabular = shown.rename(index=rules, level=0).style.to_latex(
        hrules=True,
        multirow_align="naive",
        multicol_align="c",
        column_format="l" * len(KEYS) + "r" * len(shown.columns),
    )
    return fill("main.tex.j2", table=tabular.strip(), notes=[_tex(note) for note in table.notes])


def as_html(table: MainTable) -> str:
    """A page that needs no other file; a block of rows a method, the notes as its footer."""
    shown = _printed(table, _small_interval, "<b>{}</b>", escape)
    body = html_table(shown, escape=False, classes="main")
    return page("Unlearning under quantization", body, table.notes)


def _printed(
    table: MainTable, show: Show, strong: str = "{}", name: Callable[[str], str] = str
) -> pd.DataFrame:
    """The table in print.

    Args:
        show: a metric's value and the ends of its interval.
        strong: what the better numbers are put into.
        name: what makes the names of rows and columns safe.
    """
    texts = [
        [
            (strong if better else "{}").format(_cell(metric, cell, show))
            for (_, metric), cell, better in zip(table.columns, cells, marks, strict=True)
        ]
        for cells, marks in zip(table.cells, table.better, strict=True)
    ]
    rows = [
        (name(method_name(objective)), name(precision_name(precision)), name(adapter_name(adapter)))
        for objective, precision, adapter in table.rows
    ]
    columns = [
        (name(corpus_name(corpus)), name(f"{METRICS[metric]} {GOALS[metric]}"))
        for corpus, metric in table.columns
    ]
    index = pd.MultiIndex.from_tuples(rows, names=KEYS)
    return pd.DataFrame(texts, index=index, columns=pd.MultiIndex.from_tuples(columns))


def _cell(metric: str, cell: Summary | None, show: Show) -> str:
    if cell is None:
        return "–"
    if cell.value is None or cell.low is None or cell.high is None:
        return "diverged †"
    shown = show(metric, cell.value, cell.low, cell.high)
    return f"{shown} †{cell.diverged}/{cell.seeds}" if cell.diverged else shown


def _bracketed(metric: str, value: float, low: float, high: float) -> str:
    return f"{number(metric, value)} [{number(metric, low)}, {number(metric, high)}]"


def _half_width(metric: str, value: float, low: float, high: float) -> str:
    return f"{number(metric, value)} ±{number(metric, (high - low) / 2)}"


def _ends(metric: str, value: float, low: float, high: float) -> str:
    up, down = number(metric, high - value), number(metric, value - low)
    return f"${number(metric, value)}^{{+{up}}}_{{-{down}}}$"


def _small_interval(metric: str, value: float, low: float, high: float) -> str:
    shown = number(metric, value), f"[{number(metric, low)}, {number(metric, high)}]"
    return f"{shown[0]} <small>{shown[1]}</small>".replace("-", "\N{MINUS SIGN}")


def _tex(text: str) -> str:
    return text.translate(_TEX)


def _tex_marks(cell: str) -> str:
    """A cell whose numbers are LaTeX already, with its marks."""
    return cell.translate(_TEX_MARKS)
