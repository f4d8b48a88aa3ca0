"""`metrics.csv`: every number of an experiment, one a row."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qunlearn.analysis.frame import METRICS_TABLE
from qunlearn.experiment.names import DIVERGED, METRICS, REFERENCES, UNDEFINED, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

__all__ = [
    "DIVERGED",
    "METRICS",
    "REFERENCES",
    "UNDEFINED",
    "Cell",
    "Score",
    "collect",
    "read_metrics",
    "write_metrics",
]


@dataclass(frozen=True)
class Score:
    """A row of `metrics.csv`.

    Attributes:
        value: in the metric's own unit (percent for VerMem, KnowMem, Utility and PrivLeak, nats a
            token for the NLLs); None where there is none.
        ci_low, ci_high: the 95 % interval over the evaluated items; None likewise.
        n: the evaluated items; None likewise.
        absent: why there is no number: `diverged` or `undefined`; empty where there is one.
    """

    experiment: str
    cell: Cell
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int | None
    absent: str = ""

    @classmethod
    def missing(cls, experiment: str, cell: Cell, metric: str, absent: str) -> "Score":
        """A row without a number."""
        return cls(experiment, cell, metric, None, None, None, None, absent)


def collect(evaluations: Path, cells: Sequence[str], experiment: str) -> list[Score]:
    """The scores of `cells`, read from `<evaluations>/<cell>/metrics.json`, in their order.

    Raises:
        InputError: no cell is given, one is given twice or misnamed, or its file is missing, has
            another status than `ok` and `diverged`, or lacks a finite number.
    """
    if not cells:
        raise InputError("cells: none given; name at least one <corpus>/<model id>/<precision>")
    if twice := sorted(cell for cell, count in Counter(cells).items() if count > 1):
        raise InputError(f"cells: {', '.join(twice)} given more than once; name each cell once")
    return [score for name in cells for score in _read_cell(evaluations, name, experiment)]


def write_metrics(path: Path, scores: Iterable[Score]) -> None:
    """Write `scores` in their order."""
    METRICS_TABLE.write(
        path,
        (
            (
                *(score.experiment, score.cell.corpus, score.cell.objective, score.cell.adapter),
                *(score.cell.seed, score.cell.precision, score.metric),
                *(score.absent or score.value, score.ci_low, score.ci_high, score.n),
            )
            for score in scores
        ),
    )


def read_metrics(path: Path) -> list[Score]:
    """The rows of a `metrics.csv`.

    Raises:
        InputError: as `Schema.read`.
    """
    scores = []
    for row in METRICS_TABLE.rows(path):
        cell = Cell(row.corpus, row.objective, row.adapter, row.seed, row.precision)
        if isinstance(row.value, str):
            scores.append(Score.missing(row.experiment, cell, row.metric, row.value))
        else:
            numbers = row.value, row.ci_low, row.ci_high, row.n
            scores.append(Score(row.experiment, cell, row.metric, *numbers))
    return scores


def _read_cell(evaluations: Path, name: str, experiment: str) -> list[Score]:
    cell, path = Cell.parse(name), evaluations / name / "metrics.json"
    if not path.is_file():
        raise InputError(f"cell '{name}': {path} is missing; evaluate this cell first")
    content = _mapping(read_json(path))
    status = content.get("status")
    if status == DIVERGED:
        return [Score.missing(experiment, cell, metric, DIVERGED) for metric in METRICS]
    if status != "ok":
        raise InputError(f"{path}: status is {status!r}, not 'ok' or 'diverged'; evaluate again")
    metrics = _mapping(content.get("metrics"))
    scores = []
    for metric in METRICS:
        entry = _mapping(metrics.get(metric))
        value, low, high, n = (
            _finite(path, metric, key, entry.get(key))
            for key in ("value", "ci_low", "ci_high", "n")
        )
        scores.append(Score(experiment, cell, metric, value, low, high, int(n)))
    return scores


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _finite(path: Path, metric: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"{path}: {metric}.{key} is {value!r}, not a finite number; evaluate again"
        )
    return float(value)
