"""The numbers that claims are judged on, and their differences."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

from qunlearn.analysis.metrics import DIVERGED, UNDEFINED
from qunlearn.analysis.summary import TEST_COLUMNS, Key, Summary
from qunlearn.analysis.verdicts import Absent, Finding
from qunlearn.experiment.labels import adapter_name, origin, precision_name
from qunlearn.quantize.method import Precision
from qunlearn.run.csvfile import read_rows
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import too_few

INTERVAL = NormalDist().inv_cdf(0.975)  # half a 95 % interval in standard errors
DETECTABLE = INTERVAL + NormalDist().inv_cdf(0.8)  # an effect found with a power of 0.8, likewise
UNPAIRED = "the intervals of its parts were added as if independent"


class Term(NamedTuple):
    """A number with its sign in a sum."""

    sign: int
    key: Key


class Pair(NamedTuple):
    """Two variants at one precision that a test compared: a minus b."""

    corpus: str
    objective: str
    precision: str
    metric: str
    adapter_a: str
    adapter_b: str


@dataclass(frozen=True)
class Evidence:
    """What an experiment, or a published table, has to say.

    Attributes:
        numbers: one a metric, variant and precision.
        tests: the paired tests of one variant against another.
        paired: a sum's finding from items that were drawn for all of its terms together; None
            where there are no items.
    """

    numbers: Mapping[Key, Summary]
    tests: Mapping[Pair, Finding | Absent] = field(default_factory=dict)
    paired: Callable[[Sequence[Term], bool], Finding | Absent] | None = None

    def tested(self, pair: Pair) -> Finding | Absent | None:
        """A test of the pair, whichever way round it was made; None where none was."""
        if pair in self.tests:
            return self.tests[pair]
        swapped = pair._replace(adapter_a=pair.adapter_b, adapter_b=pair.adapter_a)
        found = self.tests.get(swapped)
        return _negative(found) if isinstance(found, Finding) else found

    def total(self, terms: Sequence[Term], absolute: bool = False) -> Finding | Absent:
        """The sum of `terms`, of their distances from 0 where `absolute`.

        One term has its own interval. Several have that of their paired draws. Without items theirs
        is normal, from the root of the summed squares of their standard errors: the variants answer
        the same items, so that the true interval is narrower and the rule errs towards undecided.
        """
        for _, key in terms:
            if (number := self.numbers.get(key)) is None or number.value is None:
                return Absent(_why_absent(key, number))
        summaries = [self.numbers[key] for _, key in terms]
        if len(terms) == 1:
            return _single(summaries[0])
        if self.paired is not None:
            found = self.paired(terms, absolute)
            if isinstance(found, Absent):
                return found
            return replace(found, note="; ".join(distinct_notes(summaries)))
        values = [summary.value or 0.0 for summary in summaries]
        value = math.fsum(
            sign * (abs(known) if absolute else known)
            for (sign, _), known in zip(terms, values, strict=True)
        )
        error = math.sqrt(math.fsum(standard_error(summary) ** 2 for summary in summaries))
        return Finding(
            value,
            value - INTERVAL * error,
            value + INTERVAL * error,
            min((summary.n for summary in summaries if summary.n is not None), default=None),
            DETECTABLE * error or None,
            min(map(_counted, summaries)),
            note="; ".join([UNPAIRED, *distinct_notes(summaries)]),
        )

    def precisions(self, corpus: str, objective: str, scope: str) -> list[str]:
        """The precisions of `scope` that a corpus and objective were evaluated in, in order."""
        names = dict.fromkeys(
            key.precision
            for key in self.numbers
            if (key.corpus, key.objective) == (corpus, objective)
        )
        return [name for name in names if scope_of(name) == scope]


def scope_of(precision: str) -> str | None:
    """`four_bit`, or `coarsest` for fewer bits; None for finer ones.

    A mid-rise grid is of no scope: it is an intervention on a grid, and nobody ships it.
    """
    parsed = Precision.parse(precision)
    if parsed.midrise or parsed.bits > 4:
        return None
    return "four_bit" if parsed.bits == 4 else "coarsest"


def standard_error(summary: Summary) -> float:
    """The standard error that the width of a 95 % interval stands for; 0 without a number."""
    if summary.low is None or summary.high is None:
        return 0.0
    return (summary.high - summary.low) / (2 * INTERVAL)


def distinct_notes(summaries: Sequence[Summary]) -> list[str]:
    """What limits some of the numbers, each note once."""
    notes = [note for summary in summaries for note in summary.note.split("; ") if note]
    return list(dict.fromkeys(notes))


def read_tests(path: Path) -> dict[Pair, Finding | Absent]:
    """The tests of one variant against another (family `adapters`) of a `tests.csv`.

    Raises:
        InputError: the file is missing, has other columns, or a row does not parse.
    """
    tests: dict[Pair, Finding | Absent] = {}
    for line, row in read_rows(path, TEST_COLUMNS, "test the differences", may_be_empty=True):
        if row["family"] != "adapters":
            continue
        names = ("corpus", "objective", "precision_a", "metric", "adapter_a", "adapter_b")
        pair = Pair(*(row[name] for name in names))
        if row["difference"] in (DIVERGED, UNDEFINED):
            tests[pair] = Absent(
                f"the difference is {row['difference']}; {row['note']}".strip("; ")
            )
            continue
        try:
            tests[pair] = Finding(
                float(row["difference"]),
                float(row["ci_low"]),
                float(row["ci_high"]),
                int(row["n"]),
                _number(row["minimum_effect"]),
                int(row["seeds"]),
                _number(row["p_holm"]),
                row["note"],
            )
        except ValueError as error:
            raise InputError(
                f"{path}: line {line} does not parse ({error}); test the differences again"
            ) from error
    return tests


def _single(summary: Summary) -> Finding:
    assert summary.value is not None and summary.low is not None and summary.high is not None
    effect = DETECTABLE * standard_error(summary) or None
    ends = summary.value, summary.low, summary.high
    return Finding(*ends, summary.n, effect, _counted(summary), note=summary.note)


def _counted(summary: Summary) -> int:
    """The seeds that have a number."""
    return summary.seeds - summary.diverged - summary.undefined


def _number(text: str) -> float | None:
    return None if text in ("", UNDEFINED, too_few(1), too_few(2)) else float(text)


def _negative(test: Finding) -> Finding:
    return replace(test, value=-test.value, low=-test.high, high=-test.low)


def _why_absent(key: Key, summary: Summary | None) -> str:
    where = f"{adapter_name(key.adapter)} at {precision_name(key.precision)}"
    if summary is None:
        controls = "controls were not run: " if origin(key.adapter) != key.adapter else ""
        return f"{controls}no number for {where}"
    if summary.absent == UNDEFINED:
        return f"{where}: undefined, too little was forgotten for anything to come back"
    return f"{where}: {summary.absent}"
