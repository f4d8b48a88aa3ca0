"""The paper's table as CSV, Markdown, LaTeX and HTML: the metrics of each method and precision.

Beyond the paper's rows it has target and retrain at every precision, every adapter and every
precision of the experiment, and the mean token NLL of the forget texts as a fifth column.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import (
    GOALS,
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    number,
    precision_name,
)
from qunlearn.experiment.names import REFERENCES
from qunlearn.report.templates import fill, html_table, notes, page, span, table, tex
from qunlearn.run.files import write_text
from qunlearn.statistics.inference import FEWEST_SEEDS

KEYS = ["Method", "Precision", "Adapter"]


@dataclass(frozen=True)
class MainTable:
    """The table's content, before any format.

    Attributes:
        rows: objective, precision and adapter of each; target and retrain first.
        columns: corpus and metric of each.
        found: the numbers of each cell that was run.
        better: the cells whose numbers are significantly better than their rivals'.
        notes: plain sentences for the footer.
    """

    rows: list[tuple[str, str, str]]
    columns: list[tuple[str, str]]
    found: Mapping[Key, Summary]
    better: Collection[Key]
    notes: Sequence[str]

    def printed(
        self, form: str, strong: str = "{}", name: Callable[[str], str] = str
    ) -> pd.DataFrame:
        """The table in print.

        Args:
            form: of a cell: `value`, `low` and `high` as they are, `half` the width of the
                interval, and how far its ends lie `up` and `down`.
            strong: what the better numbers are put into.
            name: what makes names safe.
        """
        rows = [(method_name(o), precision_name(p), adapter_name(a)) for o, p, a in self.rows]
        heads = [(corpus_name(c), f"{METRICS[m]} {GOALS[m]}") for c, m in self.columns]
        texts = [
            [self._cell(Key(c, o, a, p, m), form, strong) for c, m in self.columns]
            for o, p, a in self.rows
        ]
        shown = pd.DataFrame(texts)
        shown.index = pd.MultiIndex.from_tuples([tuple(map(name, row)) for row in rows], names=KEYS)
        shown.columns = pd.MultiIndex.from_tuples([tuple(map(name, head)) for head in heads])
        return shown

    def _cell(self, key: Key, form: str, strong: str) -> str:
        own = self.found.get(key)
        if own is None:
            return "–"
        if own.numbers is None:
            return "diverged †"
        value, low, high = own.numbers
        numbers = {"value": value, "low": low, "high": high, "half": own.half}
        numbers |= {"up": high - value, "down": value - low}
        shown = form.format(**{name: number(key.metric, x) for name, x in numbers.items()})
        shown += f" †{own.diverged}/{own.seeds}" * bool(own.diverged)
        return strong.format(shown) if key in self.better else shown


def main_table(
    found: Mapping[Key, Summary],
    better: Collection[Key] = frozenset(),
    settings: Sequence[str] = (),
) -> MainTable:
    """Arrange `found`; corpora, methods, precisions and adapters keep their order in it.

    Args:
        better: the cells that are to stand out; see `comparisons.better`.
        settings: sentences for the footer on how models were trained and quantized.
    """
    found = {key: own for key, own in found.items() if key.metric in GOALS}
    orders = [
        [*REFERENCES, *distinct(key.objective for key in found)],
        distinct(key.precision for key in found),
        distinct(key.adapter for key in found),
    ]
    rows = sorted(
        {(key.objective, key.precision, key.adapter) for key in found},
        key=lambda row: [order.index(name) for order, name in zip(orders, row, strict=True)],
    )
    columns = [
        (corpus, metric) for corpus in distinct(key.corpus for key in found) for metric in GOALS
    ]
    items: dict[str, list[str]] = {}
    for column in columns:
        keys = (key for key in found if (key.corpus, key.metric) == column)
        if counts := [n for key in keys if (n := found[key].n) is not None]:
            shown = f"{METRICS[column[1]]} n = {span(counts, '.0f')}"
            items.setdefault(column[0], []).append(shown)
    references = {own.seeds for key, own in found.items() if key.objective in REFERENCES}
    words = {"items": items, "one_reference": references == {1}, "marked": better}
    words |= {"seeds": max((own.seeds for own in found.values()), default=0)}
    words |= {"whole": len(found) == len(rows) * len(columns), "fewest": FEWEST_SEEDS}
    words["diverged"] = any(own.diverged for own in found.values())
    made = notes("main_notes.md.j2", **words)
    return MainTable(rows, columns, found, better, [*made, *settings])


def write_main_table(found: MainTable, folder: Path) -> None:
    """Write `main.csv`, `main.md`, `main.tex` and `main.html` into `folder`."""
    formats = {"csv": as_csv, "md": as_markdown, "tex": as_latex, "html": as_html}
    for suffix, render in formats.items():
        write_text(folder / f"main.{suffix}", render(found))


def as_csv(found: MainTable) -> str:
    """One header line, one line a row, `17.2 [13.1, 21.4]` a cell; the notes are left out."""
    shown = found.printed("{value} [{low}, {high}]")
    shown.columns = pd.Index([f"{corpus_name(c)} {METRICS[metric]}" for c, metric in found.columns])
    return shown.to_csv(index_label=[key.lower() for key in KEYS], lineterminator="\n")


def as_markdown(found: MainTable) -> str:
    """A pipe table with half-widths, `17.2 ±4.2`, and the notes under it."""
    shown = found.printed("{value} ±{half}", "**{}**")
    heads = [" ".join(column) for column in shown.columns]
    text = table((*KEYS, *heads), shown.reset_index().to_numpy().tolist(), right=heads)
    below = [*found.notes, "± is half the width of the interval; main.csv has its ends."]
    return "\n".join([text, "", *(f"* {note}" for note in below)]) + "\n"


def as_latex(found: MainTable) -> str:
    r"""A document of its own: a booktabs tabular, `$17.2^{+4.2}_{-4.1}$` a cell, and the notes.

    What stands between the two marks can be put into a paper that uses booktabs.
    """
    shown = found.printed("${value}^{{+{up}}}_{{-{down}}}$", r"{{\boldmath {}}}", tex)
    shown = shown.replace({"–": "--", "†": r"$^\\dagger$"}, regex=True)
    rules = {name: rf"\midrule {name}" for name in shown.index.unique(0)[1:]}
    tabular = shown.rename(index=rules, level=0).style.to_latex(
        hrules=True,
        multirow_align="naive",
        multicol_align="c",
        column_format="l" * len(KEYS) + "r" * len(shown.columns),
    )
    return fill("main.tex.j2", table=tabular.strip(), notes=found.notes)


def as_html(found: MainTable) -> str:
    """A page that needs no other file; a block of rows a method, the notes as its footer."""
    shown = found.printed("{value} <small>[{low}, {high}]</small>", "<b>{}</b>", escape)
    shown = shown.replace("-", "\N{MINUS SIGN}", regex=True)
    body = html_table(shown, escape=False, classes="main")
    return page("Unlearning under quantization", body, found.notes)
