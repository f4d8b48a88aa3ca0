"""`summary.csv`: one metric of one variant at one precision a row, over its seeds and items."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from qunlearn.analysis.frame import SUMMARY_TABLE
from qunlearn.experiment.names import DIVERGED, UNDEFINED
from qunlearn.run.csvfile import digits
from qunlearn.statistics.inference import INTERVAL

__all__ = ["Key", "Summary", "digits", "distinct", "summaries", "write_summaries"]

T = TypeVar("T")


class Key(NamedTuple):
    """All that tells one summary from another: a cell without its seed, and a metric."""

    corpus: str
    objective: str
    adapter: str
    precision: str
    metric: str


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
    diverged: int
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


def write_summaries(path: Path, experiment: str, found: Mapping[Key, Summary]) -> None:
    """Write `found` in its order."""
    SUMMARY_TABLE.write(
        path,
        (
            (
                *(experiment, *key, own.absent or own.value, own.low, own.high, own.n),
                *(own.seeds, own.diverged, own.undefined, own.note),
            )
            for key, own in found.items()
        ),
    )


def summaries(path: Path) -> dict[Key, Summary]:
    """The rows of a `summary.csv`, in its order.

    Raises:
        InputError: as `Schema.read`.
    """
    found = {}
    for row in SUMMARY_TABLE.rows(path):
        value = None if isinstance(row.value, str) else row.value
        numbers = value, row.ci_low, row.ci_high
        counts = row.seeds, row.diverged, row.undefined
        key = Key(row.corpus, row.objective, row.adapter, row.precision, row.metric)
        found[key] = Summary(*numbers, *counts, row.n, row.note)
    return found


def distinct(values: Iterable[T]) -> list[T]:
    """`values` without repeats, in the order of their first appearance (the configuration's)."""
    return list(dict.fromkeys(values))
