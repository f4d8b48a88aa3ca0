"""The paper's table: method, precision and adapter against the metrics of each corpus.

Beyond the paper's rows it has target and retrain at every precision, every adapter and every
precision of the experiment, and the mean token NLL of the forget texts as a fifth column.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from qunlearn.analysis.metrics import REFERENCES
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import GOALS, METRICS, corpus_name
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.statistics.inference import FEWEST_SEEDS


class Column(NamedTuple):
    """A column of numbers."""

    corpus: str
    metric: str


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        cells: a summary a column; None where nothing was run.
        better: for each column whether the number is significantly better than its rival's.
    """

    objective: str
    precision: str
    adapter: str
    cells: tuple[Summary | None, ...]
    better: tuple[bool, ...]


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


def main_table(
    found: Mapping[Key, Summary],
    better: Collection[Key] = frozenset(),
    settings: Sequence[str] = (),
) -> MainTable:
    """Arrange `found`; corpora, methods, precisions and adapters keep their order in it.

    Args:
        better: the cells that are to stand out; see `tables.significance`.
        settings: sentences for the footer on how models were trained and quantized.
    """
    corpora = distinct(key.corpus for key in found)
    precisions = distinct(key.precision for key in found)
    objectives = distinct(key.objective for key in found)
    # sorted() is stable: the two references first, the objectives as they came
    objectives.sort(key=lambda name: REFERENCES.index(name) if name in REFERENCES else 2)
    columns = tuple(Column(corpus, metric) for corpus in corpora for metric in GOALS)
    blocks = []
    for objective in objectives:
        adapters = distinct(key.adapter for key in found if key.objective == objective)
        rows = []
        for precision in precisions:
            for adapter in adapters:
                keys = [
                    Key(column.corpus, objective, adapter, precision, column.metric)
                    for column in columns
                ]
                cells = tuple(found.get(key) for key in keys)
                if any(cells):
                    shown = tuple(key in better for key in keys)
                    rows.append(Row(objective, precision, adapter, cells, shown))
        blocks.append(tuple(rows))
    notes = (*_notes(columns, blocks, bool(better)), *settings)
    return MainTable(tuple(corpora), columns, tuple(blocks), notes)


def shortfalls(evaluations: Path, cells: Sequence[str]) -> list[str]:
    """Notes on what could not be asked or answered in full, from the evaluations' manifests.

    Args:
        evaluations: the folder that holds <cell>/manifest.json.
        cells: e.g. news/target/bf16; what several have in common is said once.
    """
    found = []
    for cell in cells:
        lines = read_json(evaluations / cell / MANIFEST).get("shortfalls", [])
        found += [f"{corpus_name(cell.partition('/')[0])} {line}." for line in lines]
    return distinct(found)


def excerpt(
    found: Mapping[Key, Summary], better: Collection[Key], precisions: Collection[str]
) -> MainTable:
    """The main table of a few precisions."""
    shown = {key: summary for key, summary in found.items() if key.precision in precisions}
    return main_table(shown, shown.keys() & set(better))


def _notes(
    columns: Sequence[Column], blocks: Sequence[Sequence[Row]], marked: bool
) -> tuple[str, ...]:
    rows = [row for block in blocks for row in block]
    cells = [cell for row in rows for cell in row.cells]
    seeds = max((cell.seeds for cell in cells if cell is not None), default=0)
    notes = [
        "target: trained on the forget and retain sets; retrain: never saw the forget set. "
        "Both are quantized like the unlearned models.",
        "VerMem, KnowMem and Utility: ROUGE-L F1 x 100; PrivLeak in percent; NLL forget: mean NLL "
        "in nats a token of the forget texts, high where the text is not remembered.",
        "Intervals: 95 %, bootstrap over the evaluated items"
        + (f" and the seeds ({seeds} seeds understate how far runs differ)" if seeds > 1 else "")
        + "; PrivLeak's has the doubt about retrain's AUC in it.",
        f"Items: {'; '.join(_items(columns, rows))}.",
        f"Seeds: {seeds}. A number is the mean over seeds{_shared(rows)}."
        if seeds > 1
        else "Seeds: one unlearning run a row; another run may fall outside its interval.",
    ]
    if seeds < FEWEST_SEEDS:
        notes.append("Nothing is tested, and so nothing bold, with fewer than three seeds.")
    if marked:
        notes.append(
            "Bold: better than its rival at the same precision (LoRA against each FT variant), "
            "p < 0.05 after Holm's correction in a test over items and seeds (Clark's min F' and "
            "Student's t of the seeds, the larger p)."
        )
    if any(cell is not None and cell.diverged for cell in cells):
        notes.append(
            "† diverged: the unlearning run met a non-finite loss. With a number beside it: the "
            "share of seeds that diverged; the number is the mean over the others."
        )
    if any(cell is None for cell in cells):
        notes.append("–: not part of this experiment.")
    return tuple(notes)


def _shared(rows: Sequence[Row]) -> str:
    """That target and retrain are not of several seeds, where they are there and are not."""
    cells = [cell for row in rows if row.objective in REFERENCES for cell in row.cells if cell]
    return "; target and retrain are one run each" if {cell.seeds for cell in cells} == {1} else ""


def _items(columns: Sequence[Column], rows: Sequence[Row]) -> list[str]:
    """`NEWS: VerMem n = 32, …` of each corpus; a range where the cells differ."""
    lists: dict[str, list[str]] = {}
    for index, column in enumerate(columns):
        cells = [row.cells[index] for row in rows]
        counts = [cell.n for cell in cells if cell is not None and cell.n is not None]
        if counts:
            low, high = min(counts), max(counts)
            n = f"{low}" if low == high else f"{low} to {high}"
            lists.setdefault(column.corpus, []).append(f"{METRICS[column.metric]} n = {n}")
    return [f"{corpus_name(corpus)}: {', '.join(items)}" for corpus, items in lists.items()]
