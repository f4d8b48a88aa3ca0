"""Numbers with their intervals: of each run in `metrics.csv`, over the seeds in `summary.csv`."""

from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from qunlearn.analysis.cells import REVERSIONS, Evaluations
from qunlearn.analysis.frame import METRICS_TABLE, SUMMARY_TABLE, rows
from qunlearn.experiment.names import DIVERGED, METRICS, UNDEFINED, Cell
from qunlearn.run.csvfile import Value, write_rows
from qunlearn.statistics.inference import INTERVAL, estimate

T = TypeVar("T")


class Key(NamedTuple):
    """All that tells one summary from another: a cell without its seed, and a metric."""

    corpus: str
    objective: str
    adapter: str
    precision: str
    metric: str

    @classmethod
    def of(cls, cell: Cell, metric: str) -> "Key":
        """Of a cell, whatever its seed."""
        return cls(cell.corpus, cell.objective, cell.adapter, cell.precision, metric)


@dataclass(frozen=True)
class Summary:
    """A number over seeds and items: a metric of a variant or of one run, or a sum of metrics.

    Attributes:
        value: the mean over the seeds that have a number, in the metric's unit (percent for VerMem,
            KnowMem, Utility and PrivLeak, nats a token for the NLLs, a share of the way back to the
            target for reversions); None where none has.
        low, high: the ends of its 95 % interval. Seeds and items are drawn again together; with one
            seed the interval is over items alone.
        seeds: how many runs there are.
        diverged: how many of them diverged.
        undefined: of how many the metric is undefined.
        n: the evaluated items, the same ones for each seed; None where there is no value.
        note: what limits the number, or why there is none, in words; empty where nothing does.
        minimum_effect: the smallest true effect that would be found with a power of 0.8 at 0.05
            (two-sided), in the unit of `value`; None where that is undefined or not known.
        p: of a test of no difference; None where none was made.
        corrected: whether p is after Holm's correction.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int
    diverged: int = 0
    undefined: int = 0
    n: int | None = None
    note: str = ""
    minimum_effect: float | None = None
    p: float | None = None
    corrected: bool = True

    @property
    def absent(self) -> str:
        """Why there is no number: `diverged` or `undefined`; empty where there is one."""
        if self.value is not None:
            return ""
        return DIVERGED if self.diverged else UNDEFINED

    @property
    def counted(self) -> int:
        """The seeds that have a number."""
        return self.seeds - self.diverged - self.undefined

    @property
    def numbers(self) -> tuple[float, float, float] | None:
        """Value, low and high; None without a number."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return self.value, self.low, self.high

    @property
    def half(self) -> float:
        """Half the width of the interval; 0 without a number."""
        return 0.0 if self.low is None or self.high is None else (self.high - self.low) / 2

    def side(self, threshold: float) -> Literal["above", "below"] | None:
        """On which side of a threshold the whole interval lies; None if on none or without one."""
        if self.low is None or self.high is None:
            return None
        return "above" if self.low > threshold else "below" if self.high < threshold else None

    @property
    def error(self) -> float:
        """The standard error that the width of the interval stands for; 0 without a number."""
        return self.half / INTERVAL

    @property
    def printed(self) -> tuple[Value, ...]:
        """Value, or the word for why there is none, interval and n: as in the tables."""
        return self.absent or self.value, self.low, self.high, self.n


Scores = dict[tuple[Cell, str], Summary]
"""The numbers of single runs, by cell and metric."""


def collect(read: Evaluations) -> Scores:
    """The metrics of every cell in order, then reversions; raises as `Evaluations.statistics`."""
    return {
        (cell, metric): _summary(read, [name], metric)
        for metrics in (METRICS, REVERSIONS)
        for name, cell in read.cells.items()
        for metric in metrics
        if metric in read.metrics_of(cell)
    }


def summarise(read: Evaluations) -> dict[Key, Summary]:
    """Every metric of each variant at each precision, and the reversions of what was unlearned.

    Raises:
        InputError: as `Evaluations.statistics`.
    """
    return {
        Key.of(variant, metric): _summary(read, names.values(), metric)
        for variant, names in read.variants.items()
        for metric in read.metrics_of(variant)
    }


def _summary(read: Evaluations, names: Iterable[str], metric: str) -> Summary:
    known, words = read.statistics(names, metric)
    counts = len(known) + len(words), words.count(DIVERGED), words.count(UNDEFINED)
    missing = absences(*counts)
    if not known:
        return Summary(None, None, None, *counts, note="; ".join(missing))
    found = estimate(list(known.values()))
    n = sum(next(iter(known.values())).sizes)
    note = "; ".join([*missing, *found.limits])
    return Summary(found.value, found.low, found.high, *counts, n, note)


def absences(seeds: int, diverged: int, undefined: int) -> list[str]:
    """In words, how many of the seeds have no number."""
    of = "1 seed" if seeds == 1 else f"{seeds} seeds"
    counts = ((DIVERGED, diverged), (UNDEFINED, undefined))
    return [f"{word} in {count} of {of}" for word, count in counts if count]


def write_metrics(path: Path, experiment: str, scores: Scores) -> None:
    """Write `scores` in their order, rounded: sums differ in their last bits between machines."""
    lines = []
    for (cell, metric), own in scores.items():
        numbers = (round(x, 6) if isinstance(x, float) else x for x in own.printed)
        lines.append([experiment, *astuple(cell), metric, *numbers])
    write_rows(path, METRICS_TABLE, lines)


def read_metrics(path: Path) -> dict[tuple[Cell, str], Summary]:
    """The rows of a `metrics.csv`, in its order; raises as `frame.read`."""
    return {
        (Cell(*row[1:6]), row.metric): _read(row, 1, row.value == DIVERGED, row.value == UNDEFINED)
        for row in rows(path, METRICS_TABLE)
    }


def write_summaries(path: Path, experiment: str, found: Mapping[Key, Summary]) -> None:
    """Write `found` in its order."""
    lines = [
        [experiment, *key, *own.printed, own.seeds, own.diverged, own.undefined, own.note]
        for key, own in found.items()
    ]
    write_rows(path, SUMMARY_TABLE, lines)


def summaries(path: Path) -> dict[Key, Summary]:
    """The rows of a `summary.csv`, in its order; raises as `frame.read`."""
    return {
        Key(*row[1:6]): _read(row, row.seeds, row.diverged, row.undefined, row.note)
        for row in rows(path, SUMMARY_TABLE)
    }


def _read(row: Any, seeds: int, diverged: int, undefined: int, note: str = "") -> Summary:
    value = None if isinstance(row.value, str) else row.value
    return Summary(value, row.ci_low, row.ci_high, seeds, diverged, undefined, row.n, note)


def distinct(values: Iterable[T]) -> list[T]:
    """`values` without repeats, in the order of their first appearance (the configuration's)."""
    return list(dict.fromkeys(values))
