"""`summary.csv`: one metric of one variant at one precision a row, over its seeds and items."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from qunlearn.analysis.cells import Evaluations, check_same_items, metrics_of
from qunlearn.analysis.frame import SUMMARY_TABLE, rows
from qunlearn.experiment.names import DIVERGED, UNDEFINED, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import INTERVAL
from qunlearn.statistics.items import Statistic

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
    """One metric of one variant at one precision, over its seeds.

    Attributes:
        value: the mean over the seeds that have a number; None where none has.
        low, high: the ends of its 95 % interval. In `summary.csv` seeds and items are drawn again
            together; with one seed the interval is over items alone.
        seeds: how many runs there are.
        diverged: how many of them diverged.
        undefined: of how many the metric is undefined.
        n: the evaluated items, the same ones for each seed; None where there is no value.
        note: what limits the number, in words; empty where nothing does.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int
    diverged: int = 0
    undefined: int = 0
    n: int | None = None
    note: str = ""

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
    def error(self) -> float:
        """The standard error that the width of the interval stands for; 0 without a number."""
        if self.low is None or self.high is None:
            return 0.0
        return (self.high - self.low) / (2 * INTERVAL)


def summarise(read: Evaluations) -> dict[Key, Summary]:
    """Every metric of each variant at each precision, and the reversions of what was unlearned.

    Raises:
        InputError: as `Evaluations.statistic`, or seeds are of other items.
    """
    return {
        Key.of(variant, metric): _summary(
            {name: read.statistic(name, metric) for name in names.values()}, metric
        )
        for variant, names in read.variants.items()
        for metric in metrics_of(variant.objective)
    }


def absences(seeds: int, diverged: int, undefined: int) -> list[str]:
    """In words, how many of the seeds have no number."""
    of = "1 seed" if seeds == 1 else f"{seeds} seeds"
    counts = ((DIVERGED, diverged), (UNDEFINED, undefined))
    return [f"{word} in {count} of {of}" for word, count in counts if count]


def write_summaries(path: Path, experiment: str, found: Mapping[Key, Summary]) -> None:
    """Write `found` in its order."""
    lines = []
    for key, own in found.items():
        numbers = own.absent or own.value, own.low, own.high, own.n
        counts = own.seeds, own.diverged, own.undefined
        lines.append([experiment, *key, *numbers, *counts, own.note])
    write_rows(path, SUMMARY_TABLE, lines)


def summaries(path: Path) -> dict[Key, Summary]:
    """The rows of a `summary.csv`, in its order; raises as `frame.read`."""
    found = {}
    for row in rows(path, SUMMARY_TABLE):
        value = None if isinstance(row.value, str) else row.value
        counts = row.seeds, row.diverged, row.undefined
        found[Key(*row[1:6])] = Summary(value, row.ci_low, row.ci_high, *counts, row.n, row.note)
    return found


def distinct(values: Iterable[T]) -> list[T]:
    """`values` without repeats, in the order of their first appearance (the configuration's)."""
    return list(dict.fromkeys(values))


def _summary(by_seed: Mapping[str, Statistic | str], metric: str) -> Summary:
    """Summarise what each cell has: a statistic, or the word for why it has none."""
    numbers = {name: each for name, each in by_seed.items() if not isinstance(each, str)}
    words = [each for each in by_seed.values() if isinstance(each, str)]
    counts = len(by_seed), words.count(DIVERGED), words.count(UNDEFINED)
    missing = absences(*counts)
    if not numbers:
        return Summary(None, None, None, *counts, note="; ".join(missing))
    check_same_items(metric, numbers)
    known = estimate(list(numbers.values()))
    n = sum(next(iter(numbers.values())).sizes)
    note = "; ".join([*missing, *known.limits])
    return Summary(known.value, known.low, known.high, *counts, n, note)
