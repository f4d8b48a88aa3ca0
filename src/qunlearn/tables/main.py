"""The paper's table: method, precision and adapter against the metrics of each corpus.

Beyond the paper's rows it has target and retrain at every precision, every adapter and every
precision of the experiment, and the mean token NLL of the forget texts as a fifth column.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from qunlearn.style import METRICS, corpus_name
from qunlearn.tables.metrics import REFERENCES, Score
from qunlearn.tables.summary import Key, Summary, distinct, over_seeds

GOALS = {"verbmem": "↓", "knowmem": "↓", "privleak": "→0", "utility": "↑", "nll_forget": "↑"}


class Column(NamedTuple):
    """A column of numbers."""

    corpus: str
    metric: str


@dataclass(frozen=True)
class Row:
    """A row of the table: its three keys and a summary a column, None where nothing was run."""

    objective: str
    precision: str
    adapter: str
    cells: tuple[Summary | None, ...]


@dataclass(frozen=True)
class MainTable:
    """The table's content, before any format.

    Attributes:
        corpora: in the experiment's order.
        columns: the metrics of the first corpus, then of the next.
        blocks: the rows of each method: target, retrain, then the objectives.
        notes: plain sentences for the footer.
    """

    corpora: tuple[str, ...]
    columns: tuple[Column, ...]
    blocks: tuple[tuple[Row, ...], ...]
    notes: tuple[str, ...]


def main_table(scores: Sequence[Score]) -> MainTable:
    """Arrange `scores`; corpora, methods, precisions and adapters keep their order in it."""
    corpora = distinct(score.cell.corpus for score in scores)
    precisions = distinct(score.cell.precision for score in scores)
    objectives = distinct(score.cell.objective for score in scores)
    # sorted() is stable: the two references first, the objectives as they came
    objectives.sort(key=lambda name: REFERENCES.index(name) if name in REFERENCES else 2)
    columns = tuple(Column(corpus, metric) for corpus in corpora for metric in GOALS)
    summaries = over_seeds(scores)
    blocks = []
    for objective in objectives:
        adapters = distinct(
            score.cell.adapter for score in scores if score.cell.objective == objective
        )
        rows = [
            Row(
                objective,
                precision,
                adapter,
                tuple(
                    summaries.get(Key(column.corpus, objective, adapter, precision, column.metric))
                    for column in columns
                ),
            )
            for precision in precisions
            for adapter in adapters
        ]
        blocks.append(tuple(row for row in rows if any(row.cells)))
    return MainTable(tuple(corpora), columns, tuple(blocks), _notes(scores, columns, blocks))


def _notes(
    scores: Sequence[Score], columns: Sequence[Column], blocks: Sequence[Sequence[Row]]
) -> tuple[str, ...]:
    cells = [cell for block in blocks for row in block for cell in row.cells]
    notes = [
        "target: trained on the forget and retain sets; retrain: never saw the forget set. "
        "Both are quantized like the unlearned models.",
        "VerMem, KnowMem and Utility: ROUGE-L F1 x 100; PrivLeak in percent; NLL forget: mean NLL "
        "in nats a token of the forget texts, high where the text is not remembered.",
        "Intervals: 95 %, bootstrap over the evaluated items; PrivLeak's holds the AUC of retrain "
        "fixed.",
        f"Items: {'; '.join(_items(scores, columns))}.",
        _seeds(scores),
    ]
    if any(cell is not None and cell.diverged for cell in cells):
        notes.append(
            "† diverged: the unlearning run met a non-finite loss. With a number beside it: the "
            "share of seeds that diverged; the number is the mean over the others."
        )
    if any(cell is None for cell in cells):
        notes.append("–: not part of this experiment.")
    return tuple(notes)


def _items(scores: Sequence[Score], columns: Sequence[Column]) -> list[str]:
    """`NEWS: VerMem n = 32, …` of each corpus; a range where the cells differ."""
    counts: dict[Column, set[int]] = {column: set() for column in columns}
    for score in scores:
        column = Column(score.cell.corpus, score.metric)
        if column in counts and score.n is not None:
            counts[column].add(score.n)
    lists: dict[str, list[str]] = {}
    for column, found in counts.items():
        if found:
            low, high = min(found), max(found)
            n = f"{low}" if low == high else f"{low} to {high}"
            lists.setdefault(column.corpus, []).append(f"{METRICS[column.metric]} n = {n}")
    return [f"{corpus_name(corpus)}: {', '.join(items)}" for corpus, items in lists.items()]


def _seeds(scores: Sequence[Score]) -> str:
    seeds = sorted({score.cell.seed for score in scores if score.cell.seed is not None})
    listed = ", ".join(map(str, seeds))
    if not seeds:
        return "Seeds: no unlearning run is in this table."
    if len(seeds) == 1:
        return f"Seed: {listed} (one unlearning run a row)."
    return (
        f"Seeds: {listed}. A number is the mean over seeds, an interval's ends are averaged over "
        "seeds: it covers the choice of items, not of seeds."
    )
