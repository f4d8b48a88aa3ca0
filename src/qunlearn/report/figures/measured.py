"""The survival measurements of a cell: where they lie below `survival/`, and what to call them."""

from pathlib import Path

from qunlearn.analysis.metrics import Cell
from qunlearn.experiment.labels import corpus_name, method_name


def matrices_file(survival: Path, cell: Cell) -> Path:
    """`<corpus>/<objective>/<adapter>/seed<k>/<precision>.csv`: a row a matrix."""
    return _folder(survival, cell) / f"{cell.precision}.csv"


def histogram_file(survival: Path, cell: Cell) -> Path:
    """`<corpus>/<objective>/<adapter>/seed<k>/<precision>_histogram.csv`."""
    return _folder(survival, cell) / f"{cell.precision}_histogram.csv"


def update_name(cell: Cell) -> str:
    """`NEWS · NPO+GDR · seed 0`: whose update was measured, for a figure's corner."""
    return f"{corpus_name(cell.corpus)} · {method_name(cell.objective)} · seed {cell.seed}"


def _folder(survival: Path, cell: Cell) -> Path:
    return survival / cell.corpus / cell.objective / cell.adapter / f"seed{cell.seed}"
