"""The numbers that claims are judged on, and their differences."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

from qunlearn.analysis.cells import Evaluations, Variant, check_same_items
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.reversion import reversion
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.analysis.verdicts import Absent, Finding
from qunlearn.experiment.labels import GOALS, adapter_name, origin, precision_name
from qunlearn.experiment.names import UNDEFINED
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import ALPHA, DETECTABLE, INTERVAL, doubt, too_few
from qunlearn.statistics.items import Floats, Statistic, combine

UNPAIRED = "the intervals of its parts were added as if independent"
NO_COMMON_SEED = "no seed has a number for all that is compared"


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


class Sum(Protocol):
    """Estimates a sum of numbers from items that are drawn for all of its terms together."""

    def __call__(self, terms: Sequence[Term], absolute: bool) -> Finding | Absent:
        """The sum of `terms`, of their distances from 0 where `absolute`."""


@dataclass(frozen=True)
class Evidence:
    """What an experiment, or a published table, has to say.

    Attributes:
        numbers: one a metric, variant and precision.
        tests: the paired tests of one variant against another.
        paired: None where there are no items.
    """

    numbers: Mapping[Key, Summary]
    tests: Mapping[Pair, Finding | Absent] = field(default_factory=dict)
    paired: Sum | None = None

    def tested(self, pair: Pair) -> Finding | Absent | None:
        """A test of the pair, whichever way round it was made; None where none was."""
        if pair in self.tests:
            return self.tests[pair]
        found = self.tests.get(pair._replace(adapter_a=pair.adapter_b, adapter_b=pair.adapter_a))
        if isinstance(found, Finding):
            return replace(found, value=-found.value, low=-found.high, high=-found.low)
        return found

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
        notes = distinct(note for own in summaries for note in own.note.split("; ") if note)
        if len(terms) > 1 and self.paired is not None:
            found = self.paired(terms, absolute)
            return found if isinstance(found, Absent) else replace(found, note="; ".join(notes))
        values = [own.value or 0.0 for own in summaries]
        value = math.fsum(
            sign * (abs(known) if absolute else known)
            for (sign, _), known in zip(terms, values, strict=True)
        )
        error = math.hypot(*(own.error for own in summaries))
        low, high = value - INTERVAL * error, value + INTERVAL * error
        if len(terms) == 1:
            low, high = summaries[0].low or 0.0, summaries[0].high or 0.0
        return Finding(
            value,
            low,
            high,
            min((own.n for own in summaries if own.n is not None), default=None),
            DETECTABLE * error or None,
            min(own.counted for own in summaries),
            note="; ".join(notes if len(terms) == 1 else [UNPAIRED, *notes]),
        )

    def precisions(self, corpus: str, objective: str, scope: str) -> list[str]:
        """The precisions of `scope` that a corpus and objective were evaluated in, in order."""
        names = distinct(
            key.precision
            for key in self.numbers
            if (key.corpus, key.objective) == (corpus, objective)
        )
        return [name for name in names if scope_of(name) == scope]


class PairedSums:
    """Estimates sums from the records of an experiment; see `Sum`.

    The sum is made within each seed, and the same items are drawn for every variant and precision:
    what a hard question or a lucky run does to all variants alike is no part of the interval.
    """

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations
        self._names = evaluations.variants()

    def __call__(self, terms: Sequence[Term], absolute: bool) -> Finding | Absent:
        """The sum of `terms`, of their distances from 0 where `absolute`.

        A sum of reversions has no p: it is compared with a margin and not with 0.

        Raises:
            InputError: the terms are not of the same items.
        """
        found = [self._statistics(term.key) for term in terms]
        metric = terms[0].key.metric.removeprefix("reversion_")
        check_same_items(metric, [named for each in found for named in each.values()])

        def total(*draws: Floats) -> Floats:
            parts = zip(terms, draws, strict=True)
            return sum(
                (term.sign * (abs(x) if absolute else x) for term, x in parts), 0.0 * draws[0]
            )

        by_seed = [
            combine([each[seed][1] for each in found], total, "the same for all items")
            for seed in found[0]
            if all(seed in each for each in found)
        ]
        if not by_seed:
            return Absent(NO_COMMON_SEED)
        known, doubted = estimate(by_seed), doubt(by_seed)
        tested = metric == terms[0].key.metric and not too_few(doubted.seeds)
        return Finding(
            known.value,
            known.low,
            known.high,
            sum(by_seed[0].sizes),
            doubted.minimum_effect(),
            doubted.seeds,
            doubted.p() if tested else None,
            corrected=False,
        )

    def _statistics(self, key: Key) -> dict[int | None, tuple[str, Statistic]]:
        """Of each seed that has a number, its cell's name and the number."""
        metric = key.metric.removeprefix("reversion_")
        found: dict[int | None, tuple[str, Statistic]] = {}
        for seed, name in self._names[Variant(*key[:4])].items():
            statistic: Statistic | str | None = (
                self._evaluations.items(name, metric)
                if metric == key.metric
                else reversion(self._evaluations, name, metric)
            )
            if statistic is not None and not isinstance(statistic, str):
                found[seed] = name, statistic
        return found


def scope_of(precision: str) -> str | None:
    """`four_bit`, or `coarsest` for fewer bits; None for finer ones.

    A mid-rise grid is of no scope: it is an intervention on a grid, and nobody ships it.
    """
    parsed = Precision.parse(precision)
    if parsed.midrise or parsed.bits > 4:
        return None
    return "four_bit" if parsed.bits == 4 else "coarsest"


def read_tests(path: Path) -> dict[Pair, Finding | Absent]:
    """The tests of one variant against another (family `adapters`) of a `tests.csv`.

    Raises:
        InputError: as `Schema.read`.
    """
    tests: dict[Pair, Finding | Absent] = {}
    for row in TESTS_TABLE.rows(path):
        if row.family != "adapters":
            continue
        where = row.corpus, row.objective, row.precision_a, row.metric
        pair = Pair(*where, row.adapter_a, row.adapter_b)
        if isinstance(row.difference, str):
            tests[pair] = Absent(f"the difference is {row.difference}; {row.note}".strip("; "))
            continue
        effect, p = (None if isinstance(x, str) else x for x in (row.minimum_effect, row.p_holm))
        ends = row.difference, row.ci_low, row.ci_high
        tests[pair] = Finding(*ends, row.n, effect, row.seeds, p, row.note)
    return tests


def better(tests: Path, found: Mapping[Key, Summary]) -> frozenset[Key]:
    """The better one of each two variants that differ at the same precision.

    Args:
        tests: a `tests.csv`; its family `adapters` is read.
        found: the values; PrivLeak is the better, the nearer it is to 0.

    Raises:
        InputError: the file is missing or of another form, or not of the same cells.
    """
    winners = set()
    for pair, test in read_tests(tests).items():
        goal = GOALS.get(pair.metric)
        if goal is None or isinstance(test, Absent) or test.p is None or test.p > ALPHA:
            continue
        where = pair.corpus, pair.objective
        keys = [
            Key(*where, adapter, pair.precision, pair.metric)
            for adapter in (pair.adapter_a, pair.adapter_b)
        ]
        if missing := [key for key in keys if key not in found]:
            raise InputError(
                f"{tests}: {'/'.join(missing[0])} is not in the summary; make both from the same "
                "cells"
            )
        first, second = (found[key].value or 0.0 for key in keys)
        if goal == "→0":
            first, second, goal = abs(first), abs(second), "↓"
        wins = (first < second) == (goal == "↓")
        winners.add(keys[0] if wins else keys[1])
    return frozenset(winners)


def _why_absent(key: Key, summary: Summary | None) -> str:
    where = f"{adapter_name(key.adapter)} at {precision_name(key.precision)}"
    if summary is None:
        controls = "controls were not run: " if origin(key.adapter) != key.adapter else ""
        return f"{controls}no number for {where}"
    if summary.absent == UNDEFINED:
        return f"{where}: undefined, too little was forgotten for anything to come back"
    return f"{where}: {summary.absent}"
