"""The paper's table: method, precision and adapter against the metrics of each corpus.

Beyond the paper's rows it has target and retrain at every precision, every adapter and every
precision of the experiment, and the mean token NLL of the forget texts as a fifth column.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qunlearn.analysis.metrics import REFERENCES
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import GOALS, METRICS, corpus_name
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.statistics.inference import FEWEST_SEEDS


@dataclass(frozen=True)
class MainTable:
    """The table's content, before any format.

    Attributes:
        rows: objective, precision and adapter of each; target and retrain first.
        columns: corpus and metric of each.
        cells: the numbers of each row; None where nothing was run.
        better: of each row whether its numbers are significantly better than their rivals'.
        notes: plain sentences for the footer.
    """

    rows: list[tuple[str, str, str]]
    columns: list[tuple[str, str]]
    cells: list[list[Summary | None]]
    better: list[list[bool]]
    notes: tuple[str, ...]


def main_table(
    found: Mapping[Key, Summary],
    better: Collection[Key] = frozenset(),
    settings: Sequence[str] = (),
) -> MainTable:
    """Arrange `found`; corpora, methods, precisions and adapters keep their order in it.

    Args:
        better: the cells that are to stand out; see `analysis.significance`.
        settings: sentences for the footer on how models were trained and quantized.
    """
    columns = [
        (corpus, metric) for corpus in distinct(key.corpus for key in found) for metric in GOALS
    ]
    orders = [
        [*REFERENCES, *distinct(key.objective for key in found)],
        distinct(key.precision for key in found),
        distinct(key.adapter for key in found),
    ]
    rows = sorted(
        {(key.objective, key.precision, key.adapter) for key in found if key.metric in GOALS},
        key=lambda row: [order.index(name) for order, name in zip(orders, row, strict=True)],
    )
    keys = [
        [Key(corpus, objective, adapter, precision, metric) for corpus, metric in columns]
        for objective, precision, adapter in rows
    ]
    cells = [[found.get(key) for key in row] for row in keys]
    marks = [[key in better for key in row] for row in keys]
    notes = _notes(columns, rows, cells, bool(better))
    return MainTable(rows, columns, cells, marks, (*notes, *settings))


def shortfalls(evaluations: Path, cells: Sequence[str]) -> list[str]:
    """Notes on what could not be evaluated in full, from the evaluations' manifests.

    Args:
        evaluations: the folder that holds <cell>/manifest.json.
        cells: e.g. news/target/bf16; a note that several share is given once.
    """
    found = []
    for cell in cells:
        lines = read_json(evaluations / cell / MANIFEST).get("shortfalls", [])
        found += [f"{corpus_name(cell.partition('/')[0])} {line}." for line in lines]
    return distinct(found)


def excerpt(
    found: Mapping[Key, Summary], better: Collection[Key], precisions: Collection[str]
) -> MainTable:
    """The main table of some precisions."""
    shown = {key: summary for key, summary in found.items() if key.precision in precisions}
    return main_table(shown, shown.keys() & set(better))


Cells = Sequence[Sequence[Summary | None]]


def _notes(
    columns: Sequence[tuple[str, str]],
    rows: Sequence[tuple[str, str, str]],
    cells: Cells,
    marked: bool,
) -> list[str]:
    shown = [cell for row in cells for cell in row]
    found = [cell for cell in shown if cell is not None]
    seeds = max((cell.seeds for cell in found), default=0)
    notes = [
        "target: trained on the forget and retain sets; retrain: never saw the forget set. "
        "Both are quantized like the unlearned models.",
        "VerMem, KnowMem and Utility: ROUGE-L F1 x 100; PrivLeak in percent; NLL forget: mean NLL "
        "of the forget texts in nats per token, high where the text is not remembered.",
        "Intervals: 95 %, bootstrap over the evaluated items"
        + (f" and the seeds ({seeds} seeds understate how far runs differ)" if seeds > 1 else "")
        + "; PrivLeak's also covers the uncertainty of retrain's AUC.",
        f"Items: {'; '.join(_items(columns, cells))}.",
        f"Seeds: {seeds}. A number is the mean over seeds{_shared(rows, cells)}."
        if seeds > 1
        else "Seeds: one unlearning run per row; another run may fall outside its interval.",
    ]
    if seeds < FEWEST_SEEDS:
        notes.append("With fewer than three seeds nothing is tested, so nothing is bold.")
    if marked:
        notes.append(
            "Bold: better than its rival at the same precision (LoRA against each FT variant), "
            "p < 0.05 after Holm's correction in a test over items and seeds (the larger p of "
            "Clark's min F' and Student's t over the seeds)."
        )
    if any(cell.diverged for cell in found):
        notes.append(
            "† diverged: the unlearning run met a non-finite loss. Beside a number: the share of "
            "seeds that diverged; the number is the mean over the others."
        )
    if len(found) < len(shown):
        notes.append("–: not part of this experiment.")
    return notes


def _shared(rows: Sequence[tuple[str, str, str]], cells: Cells) -> str:
    """That target and retrain are one run each, where they are there and are."""
    pairs = zip(rows, cells, strict=True)
    found = [cell for row, own in pairs if row[0] in REFERENCES for cell in own if cell]
    return "; target and retrain are one run each" if {cell.seeds for cell in found} == {1} else ""


def _items(columns: Sequence[tuple[str, str]], cells: Cells) -> list[str]:
    """`NEWS: VerMem n = 32, …` of each corpus; a range where the cells differ."""
    lists: dict[str, list[str]] = {}
    for index, (corpus, metric) in enumerate(columns):
        column = [row[index] for row in cells]
        counts = [cell.n for cell in column if cell is not None and cell.n is not None]
        if counts:
            low, high = min(counts), max(counts)
            n = f"{low}" if low == high else f"{low} to {high}"
            lists.setdefault(corpus, []).append(f"{METRICS[metric]} n = {n}")
    return [f"{corpus_name(corpus)}: {', '.join(items)}" for corpus, items in lists.items()]
