"""`summary.csv`: one metric of one variant at one precision a row, over its seeds and items.

Where there is no number the value is a word that says why, beside an empty interval and n:
`diverged` where a training did, `undefined` for a reversion of what was never forgotten.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from qunlearn.analysis.metrics import DIVERGED, UNDEFINED
from qunlearn.run.csvfile import read_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_text

T = TypeVar("T")

COLUMNS = (
    "experiment",
    "corpus",
    "objective",
    "adapter",
    "precision",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
    "seeds",
    "diverged",
    "undefined",
    "note",
)
TEST_COLUMNS = (
    "experiment",
    "corpus",
    "family",
    "metric",
    "objective",
    "adapter_a",
    "precision_a",
    "adapter_b",
    "precision_b",
    "difference",
    "ci_low",
    "ci_high",
    "p",
    "p_holm",
    "effect_dz",
    "minimum_effect",
    "n",
    "seeds",
    "note",
)
"""Of `tests.csv`, which `evidence.tests_table` writes."""


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


def write_summaries(path: Path, experiment: str, found: Mapping[Key, Summary]) -> None:
    """Write `found` in its order: six significant digits, the same bytes for the same numbers."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for key, summary in found.items():
        numbers = (summary.value, summary.low, summary.high)
        value, low, high = ("" if number is None else digits(number) for number in numbers)
        n = "" if summary.n is None else summary.n
        counts = (summary.seeds, summary.diverged, summary.undefined)
        writer.writerow(
            [experiment, *key, value or summary.absent, low, high, n, *counts, summary.note]
        )
    write_text(path, stream.getvalue())


def summaries(path: Path) -> dict[Key, Summary]:
    """The rows of a `summary.csv`, in its order.

    Raises:
        InputError: the file is missing or empty, has other columns, a row does not parse or stands
            twice.
    """
    found: dict[Key, Summary] = {}
    for line, row in read_rows(path, COLUMNS, "summarise"):
        try:
            key, summary = _parse_row(row)
        except ValueError as error:
            raise InputError(
                f"{path}: line {line} does not parse ({error}); summarise again"
            ) from error
        if key in found:
            raise InputError(
                f"{path}: line {line} repeats {'/'.join(key)}; summarise one experiment by itself"
            )
        found[key] = summary
    return found


def digits(number: float) -> str:
    """Six significant digits; the sum makes a negative zero positive."""
    return format(number + 0.0, ".6g")


def distinct(values: Iterable[T]) -> list[T]:
    """`values` without repeats, in the order of their first appearance (the configuration's)."""
    return list(dict.fromkeys(values))


def _parse_row(row: Mapping[str, str]) -> tuple[Key, Summary]:
    key = Key(*(row[name] for name in Key._fields))
    seeds, diverged, undefined = (int(row[name]) for name in ("seeds", "diverged", "undefined"))
    value, low, high = None, None, None
    n = None
    if row["value"] not in (DIVERGED, UNDEFINED):
        value, low, high = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
        n = int(row["n"])
    return key, Summary(value, low, high, seeds, diverged, undefined, n, row["note"])
