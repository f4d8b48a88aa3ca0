"""What figures read, and whose it is."""

from collections.abc import Sequence
from pathlib import Path

from qunlearn.analysis.lineage import check_measurements
from qunlearn.analysis.metrics import Cell, Score, read_metrics
from qunlearn.analysis.summary import Key, Summary, summaries


def read_scores(metrics: Path, summary: Path) -> tuple[list[Score], dict[Key, Summary]]:
    """The scores of every cell, and their summaries over seeds and items.

    Raises:
        InputError: a file is missing or does not parse.
    """
    return read_metrics(metrics), summaries(summary)


def measured_cells(
    survival: Path,
    corpus: str,
    objective: str,
    seed: int,
    adapters: Sequence[str],
    precisions: Sequence[str],
) -> list[Cell]:
    """The variants of one run at each precision, whose measurements are of this experiment.

    Raises:
        InputError: a measurement is of another model, or damaged.
    """
    cells = [Cell(corpus, objective, a, seed, p) for p in precisions for a in adapters]
    check_measurements(survival, cells)
    return cells
