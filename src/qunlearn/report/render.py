"""The main table as CSV, Markdown, LaTeX and HTML."""

import csv
import io
from collections.abc import Callable
from html import escape
from pathlib import Path

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
from qunlearn.report.main_table import Column, MainTable, Row
from qunlearn.run.files import write_text

KEYS = ("Method", "Precision", "Adapter")
_TEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "_": r"\_",
        "&": r"\&",
        "%": r"\%",
        "#": r"\#",
        "$": r"\$",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "†": r"$^\dagger$",
    }
)
_TEX_HEAD = (
    r"\documentclass[9pt]{extarticle}",
    r"\usepackage[a3paper,landscape,margin=1cm]{geometry}",
    r"\usepackage{booktabs}",
    r"\begin{document}",
    r"\noindent",
)
_TEX_GOALS = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "→0": r"$\to 0$"}
_STYLE = """\
:root { color-scheme: light dark; --line: #8888; --faint: #8882; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; }
body { padding: 0 1rem; }
h1 { font-size: 1.3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: .2rem .7rem; text-align: right; }
th:nth-child(-n+3), td:nth-child(-n+3) { text-align: left; font-weight: 500; }
thead tr:first-child th { text-align: center; }
thead tr:last-child th { border-bottom: 2px solid var(--line); }
tbody { border-bottom: 1px solid var(--line); }
tbody tr:hover { background: var(--faint); }
small { opacity: .7; font-size: .8em; }
footer { font-size: .85rem; margin-top: 1rem; max-width: 60rem; }
footer p { margin: .2rem 0; }"""


def write_main_table(table: MainTable, folder: Path) -> None:
    """Write `main.csv`, `main.md`, `main.tex` and `main.html` into `folder`."""
    formats = (("csv", as_csv), ("md", as_markdown), ("tex", as_latex), ("html", as_html))
    for suffix, render in formats:
        write_text(folder / f"main.{suffix}", render(table))


def as_csv(table: MainTable) -> str:
    """One header line, one line a row, `17.2 [13.1, 21.4]` a cell; the notes are left out."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    columns = [f"{corpus_name(corpus)} {METRICS[metric]}" for corpus, metric in table.columns]
    writer.writerow([*(key.lower() for key in KEYS), *columns])
    for block in table.blocks:
        for row in block:
            writer.writerow([*_names(row), *_cells(table, row, _bracketed)])
    return stream.getvalue()


def as_markdown(table: MainTable) -> str:
    """A pipe table with half-widths, `17.2 ±4.2`, and the notes under it."""
    heads = [f"{corpus_name(corpus)} {_head(metric)}" for corpus, metric in table.columns]
    lines = [[*KEYS, *heads], [*("---",) * 3, *("--:",) * len(heads)]]
    lines += [
        [*_names(row), *_cells(table, row, _half_width, "**{}**")]
        for block in table.blocks
        for row in block
    ]
    body = ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]
    notes = [*table.notes, "± is half the width of the interval; main.csv has its ends."]
    return "\n".join([*body, "", *(f"* {note}" for note in notes)]) + "\n"


def as_latex(table: MainTable) -> str:
    r"""A document of its own: a booktabs tabular, `$17.2^{+4.2}_{-4.1}$` a cell, and the notes.

    What stands between the two marks can be put into a paper that uses booktabs.
    """
    width = len(table.columns) // len(table.corpora)
    groups, rules = [], []
    for index, corpus in enumerate(table.corpora):
        groups.append(rf"\multicolumn{{{width}}}{{c}}{{{_tex(corpus_name(corpus))}}}")
        first = len(KEYS) + 1 + index * width
        rules.append(rf"\cmidrule(lr){{{first}-{first + width - 1}}}")
    heads = [f"{_tex(METRICS[column.metric])} {_tex_goal(column)}" for column in table.columns]
    lines = [
        *_TEX_HEAD,
        "% --- the table ---",
        rf"\begin{{tabular}}{{{'l' * len(KEYS)}{'r' * len(table.columns)}}}",
        r"\toprule",
        " & ".join([*("",) * len(KEYS), *groups]).lstrip() + r" \\",
        " ".join(rules),
        " & ".join([*KEYS, *heads]) + r" \\",
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        for row in block:
            names = [_tex(name) for name in _names(row)]
            shown = _cells(table, row, _ends, r"{{\boldmath {}}}")
            cells = [_tex_marks(cell) for cell in shown]
            lines.append(" & ".join([*names, *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\par\medskip{\footnotesize"]
    lines += [rf"{_tex(note)}\par" for note in table.notes]
    return "\n".join([*lines, "}", "% --- end of the table ---", r"\end{document}"]) + "\n"


def as_html(table: MainTable) -> str:
    """A page that needs no other file; a block of rows a method, the notes as its footer."""
    width = len(table.columns) // len(table.corpora)
    groups = "".join(
        f'<th colspan="{width}">{escape(corpus_name(corpus))}</th>' for corpus in table.corpora
    )
    heads = "".join(
        f"<th>{escape(head)}</th>" for head in (*KEYS, *(_head(m) for _, m in table.columns))
    )
    bodies = []
    for block in table.blocks:
        rows = []
        for row in block:
            names = "".join(f"<td>{escape(name)}</td>" for name in _names(row))
            cells = "".join(
                f"<td>{cell}</td>" for cell in _cells(table, row, _small_interval, "<b>{}</b>")
            )
            rows.append(f"<tr>{names}{cells}</tr>")
        bodies.append("<tbody>\n" + "\n".join(rows) + "\n</tbody>")
    notes = "\n".join(f"<p>{escape(note)}</p>" for note in table.notes)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>Unlearning under quantization</title>\n<style>\n{_STYLE}\n</style>\n</head>\n"
        "<body>\n<h1>Unlearning under quantization</h1>\n"
        f'<div class="wide"><table>\n<thead>\n<tr><th colspan="3"></th>{groups}</tr>\n'
        f"<tr>{heads}</tr>\n</thead>\n" + "\n".join(bodies) + "\n</table></div>\n"
        f"<footer>\n{notes}\n</footer>\n</body>\n</html>\n"
    )


def _names(row: Row) -> list[str]:
    return [method_name(row.objective), precision_name(row.precision), adapter_name(row.adapter)]


def _head(metric: str) -> str:
    return f"{METRICS[metric]} {GOALS[metric]}"


Shown = Callable[[str, float, float, float], str]


def _cells(table: MainTable, row: Row, show: Shown, strong: str = "{}") -> list[str]:
    """The numbers of a row; `strong` is what the better ones are put into."""
    triples = zip(table.columns, row.cells, row.better, strict=True)
    return [
        (strong if better else "{}").format(_cell(column.metric, cell, show))
        for column, cell, better in triples
    ]


def _cell(metric: str, cell: Summary | None, show: Shown) -> str:
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
    """The marks of a cell whose numbers are LaTeX already."""
    return cell.replace("–", "--").replace("†", r"$^\dagger$")


def _tex_goal(column: Column) -> str:
    return _TEX_GOALS[GOALS[column.metric]]
