"""`metrics.csv`: every number of an experiment, one a row."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from qunlearn.analysis.cells import REVERSIONS, Evaluations, metrics_of
from qunlearn.analysis.frame import METRICS_TABLE, rows
from qunlearn.experiment.names import METRICS, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.items import Statistic


@dataclass(frozen=True)
class Score:
    """A row of `metrics.csv`.

    Attributes:
        value: in the metric's own unit (percent for VerMem, KnowMem, Utility and PrivLeak, nats a
            token for the NLLs, a share of the way back to the target for reversions); None where
            there is none.
        ci_low, ci_high: the 95 % interval over the evaluated items; None likewise.
        n: the evaluated items; None likewise.
        absent: why there is no number: `diverged` or `undefined`; empty where there is one.
    """

    experiment: str
    cell: Cell
    metric: str
    value: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    n: int | None = None
    absent: str = ""


def collect(read: Evaluations, experiment: str) -> list[Score]:
    """The metrics of every cell in order, then reversions; raises as `Evaluations.statistic`."""
    return [
        _score(experiment, cell, metric, read.statistic(name, metric))
        for metrics in (METRICS, REVERSIONS)
        for name, cell in read.cells.items()
        for metric in metrics
        if metric in metrics_of(cell.objective)
    ]


def write_metrics(path: Path, scores: Iterable[Score]) -> None:
    """Write `scores` in their order."""
    lines = []
    for own in scores:
        place = own.cell.corpus, own.cell.objective, own.cell.adapter, own.cell.seed
        numbers = own.absent or own.value, own.ci_low, own.ci_high, own.n
        lines.append([own.experiment, *place, own.cell.precision, own.metric, *numbers])
    write_rows(path, METRICS_TABLE, lines)


def read_metrics(path: Path) -> list[Score]:
    """The rows of a `metrics.csv`; raises as `frame.read`."""
    scores = []
    for experiment, *place, metric, value, low, high, n in rows(path, METRICS_TABLE):
        word = isinstance(value, str)
        numbers = (None, None, None, None, value) if word else (value, low, high, n)
        scores.append(Score(experiment, Cell(*place), metric, *numbers))
    return scores


def _score(experiment: str, cell: Cell, metric: str, found: Statistic | str) -> Score:
    if isinstance(found, str):
        return Score(experiment, cell, metric, absent=found)
    known = estimate([found])
    # Rounded, since sums differ in their last bits between machines.
    value, low, high = (round(x, 6) for x in (known.value, known.low, known.high))
    return Score(experiment, cell, metric, value, low, high, sum(found.sizes))
