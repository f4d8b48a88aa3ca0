"""The numbers that claims are judged on, and their differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum, hypot

from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.comparisons import tested
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import adapter_name, origin, precision_name
from qunlearn.experiment.names import UNDEFINED, Cell
from qunlearn.quantize.method import Precision
from qunlearn.statistics.inference import DETECTABLE, INTERVAL
from qunlearn.statistics.items import Floats, combine

UNPAIRED = "the intervals of its parts were added as if independent"
NO_COMMON_SEED = "no seed has a number for all that is compared"
Signed = Sequence[tuple[int, Key]]
"""The terms of a sum of numbers, each with its sign."""


def absent(reason: str) -> Summary:
    """No number, and why, in words for people."""
    return Summary(None, None, None, 0, note=reason)


@dataclass(frozen=True)
class Evidence:
    """What an experiment, or a published table, has to say.

    Attributes:
        numbers: one a metric, variant and precision.
        tests: the paired tests of one variant against another, as of `comparisons.read_tests`.
        paired: estimates a sum from items that are drawn for all of its terms together, as
            `paired_sum` does; None where there are no items.
    """

    numbers: Mapping[Key, Summary]
    tests: Mapping[tuple[Key, Key], Summary] = field(default_factory=dict)
    paired: Callable[[Signed, bool], Summary] | None = None

    def total(self, terms: Signed, distance: bool = False) -> Summary:
        """The sum of `terms`, of their distances from 0 where `distance`.

        One term has its own interval. Several have that of their paired draws. Without items theirs
        is normal, from the root of the summed squares of their standard errors: the variants answer
        the same items, so that the true interval is narrower and the rule errs towards undecided.
        """
        values = []
        for sign, key in terms:
            if (number := self.numbers.get(key)) is None or number.value is None:
                return absent(_why_absent(key, number))
            values.append(sign * (abs(number.value) if distance else number.value))
        parts = [self.numbers[key] for _, key in terms]
        notes = distinct(note for own in parts for note in own.note.split("; ") if note)
        error = hypot(*(own.error for own in parts))
        effect = DETECTABLE * error or None
        if len(terms) == 1:
            return replace(parts[0], minimum_effect=effect)
        if self.paired is not None:
            found = self.paired(terms, distance)
            return found if found.value is None else replace(found, note="; ".join(notes))
        value, half = fsum(values), INTERVAL * error
        n = min((own.n for own in parts if own.n is not None), default=None)
        note, seeds = "; ".join([UNPAIRED, *notes]), min(own.counted for own in parts)
        return Summary(value, value - half, value + half, seeds, 0, 0, n, note, effect)

    def precisions(self, corpus: str, objective: str, scope: str) -> list[str]:
        """The precisions of `scope` that a corpus and objective were evaluated in, in order."""
        cell = corpus, objective
        names = distinct(key.precision for key in self.numbers if key[:2] == cell)
        return [name for name in names if scope_of(name) == scope]


def paired_sum(read: Evaluations, terms: Signed, distance: bool) -> Summary:
    """The sum of `terms` from the records of an experiment, of distances from 0 where `distance`.

    The sum is made within each seed, and the same items are drawn for every variant and precision:
    what a hard question or a lucky run does to all variants alike is no part of the interval. A sum
    of reversions has no p: it is compared with a margin and not with 0.

    Raises:
        InputError: the terms are not of the same items.
    """
    metric = terms[0][1].metric
    named = [read.variants[Cell(*key[:3], None, key.precision)] for _, key in terms]
    known, _ = read.statistics((name for names in named for name in names.values()), metric)

    def total(*draws: Floats) -> Floats:
        parts = zip(terms, draws, strict=True)
        return sum((sign * (abs(x) if distance else x) for (sign, _), x in parts), 0.0 * draws[0])

    by_seed = [
        combine([known[names[seed]] for names in named], total, "the same for all items")
        for seed in named[0]
        if all(names.get(seed) in known for names in named)
    ]
    if not by_seed:
        return absent(NO_COMMON_SEED)
    return tested(by_seed, None if metric.startswith("reversion_") else "two-sided")


def scope_of(precision: str) -> str | None:
    """`four_bit`, or `coarsest` for fewer bits; None for finer ones.

    A mid-rise grid is of no scope: it is an intervention on a grid, and nobody ships it.
    """
    parsed = Precision.parse(precision)
    if parsed.midrise or parsed.bits > 4:
        return None
    return "four_bit" if parsed.bits == 4 else "coarsest"


def _why_absent(key: Key, summary: Summary | None) -> str:
    where = f"{adapter_name(key.adapter)} at {precision_name(key.precision)}"
    if summary is None:
        controls = "controls were not run: " if origin(key.adapter) != key.adapter else ""
        return f"{controls}no number for {where}"
    if summary.absent == UNDEFINED:
        return f"{where}: undefined, too little was forgotten for anything to come back"
    return f"{where}: {summary.absent}"
