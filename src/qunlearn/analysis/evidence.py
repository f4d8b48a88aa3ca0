"""The numbers that claims are judged on, and their differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import fsum, hypot
from pathlib import Path

from qunlearn.analysis.cells import Evaluations, check_same_items
from qunlearn.analysis.frame import TESTS_TABLE, rows
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.labels import GOALS, adapter_name, origin, precision_name
from qunlearn.experiment.names import UNDEFINED, Cell
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import ALPHA, DETECTABLE, INTERVAL, doubt, too_few
from qunlearn.statistics.items import Floats, Statistic, combine

UNPAIRED = "the intervals of its parts were added as if independent"
NO_COMMON_SEED = "no seed has a number for all that is compared"
Signed = Sequence[tuple[int, Key]]
"""The terms of a sum of numbers, each with its sign."""


@dataclass(frozen=True)
class Finding(Summary):
    """A number that a claim is judged on; without a value, `note` says why there is none.

    Attributes:
        minimum_effect: the smallest true effect that would be found with a power of 0.8 at 0.05
            (two-sided), in the unit of `value`; None where that is undefined.
        p: of a test of no difference; None where none was made.
        corrected: whether p is after Holm's correction.
    """

    minimum_effect: float | None = None
    p: float | None = None
    corrected: bool = True


def absent(reason: str) -> Finding:
    """No number, and why, in words for people."""
    return Finding(None, None, None, 0, note=reason)


@dataclass(frozen=True)
class Evidence:
    """What an experiment, or a published table, has to say.

    Attributes:
        numbers: one a metric, variant and precision.
        tests: the paired tests of one variant against another, as of `read_tests`.
        paired: estimates a sum from items that are drawn for all of its terms together, as
            `paired_sum` does; None where there are no items.
    """

    numbers: Mapping[Key, Summary]
    tests: Mapping[tuple[Key, Key], Finding] = field(default_factory=dict)
    paired: Callable[[Signed, bool], Finding] | None = None

    def total(self, terms: Signed, distance: bool = False) -> Finding:
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
            return Finding(**asdict(parts[0]), minimum_effect=effect)
        if self.paired is not None:
            found = self.paired(terms, distance)
            return found if found.value is None else replace(found, note="; ".join(notes))
        value, half = fsum(values), INTERVAL * error
        return Finding(
            value,
            value - half,
            value + half,
            min(own.counted for own in parts),
            n=min((own.n for own in parts if own.n is not None), default=None),
            note="; ".join([UNPAIRED, *notes]),
            minimum_effect=effect,
        )

    def precisions(self, corpus: str, objective: str, scope: str) -> list[str]:
        """The precisions of `scope` that a corpus and objective were evaluated in, in order."""
        cell = corpus, objective
        names = distinct(key.precision for key in self.numbers if key[:2] == cell)
        return [name for name in names if scope_of(name) == scope]


def paired_sum(read: Evaluations, terms: Signed, distance: bool) -> Finding:
    """The sum of `terms` from the records of an experiment, of distances from 0 where `distance`.

    The sum is made within each seed, and the same items are drawn for every variant and precision:
    what a hard question or a lucky run does to all variants alike is no part of the interval. A sum
    of reversions has no p: it is compared with a margin and not with 0.

    Raises:
        InputError: the terms are not of the same items.
    """
    metric = terms[0][1].metric
    named = [read.variants[Cell(*key[:3], None, key.precision)] for _, key in terms]
    found = {name: read.statistic(name, metric) for names in named for name in names.values()}
    known = {name: each for name, each in found.items() if not isinstance(each, str)}
    check_same_items(metric, known)

    def total(*draws: Floats) -> Floats:
        parts = zip(terms, draws, strict=True)
        return sum((sign * (abs(x) if distance else x) for (sign, _), x in parts), 0.0 * draws[0])

    by_seed: list[Statistic] = []
    for seed in named[0]:
        parts = tuple(known[names[seed]] for names in named if names.get(seed) in known)
        if len(parts) == len(named):
            by_seed.append(combine(parts, total, "the same for all items"))
    if not by_seed:
        return absent(NO_COMMON_SEED)
    known_sum, doubted = estimate(by_seed), doubt(by_seed)
    tested = not (metric.startswith("reversion_") or too_few(doubted.seeds))
    return Finding(
        known_sum.value,
        known_sum.low,
        known_sum.high,
        doubted.seeds,
        n=sum(by_seed[0].sizes),
        minimum_effect=doubted.minimum_effect(),
        p=doubted.p() if tested else None,
        corrected=False,
    )


def scope_of(precision: str) -> str | None:
    """`four_bit`, or `coarsest` for fewer bits; None for finer ones.

    A mid-rise grid is of no scope: it is an intervention on a grid, and nobody ships it.
    """
    parsed = Precision.parse(precision)
    if parsed.midrise or parsed.bits > 4:
        return None
    return "four_bit" if parsed.bits == 4 else "coarsest"


def read_tests(path: Path) -> dict[tuple[Key, Key], Finding]:
    """The tests of one variant against another (family `adapters`) of a `tests.csv`.

    Each is there both ways round, the first minus the second. Raises as `frame.read`.
    """
    tests: dict[tuple[Key, Key], Finding] = {}
    for row in rows(path, TESTS_TABLE):
        if row.family != "adapters":
            continue
        a = Key(row.corpus, row.objective, row.adapter_a, row.precision_a, row.metric)
        b = a._replace(adapter=row.adapter_b, precision=row.precision_b)
        if isinstance(row.difference, str):
            why = absent(f"the difference is {row.difference}; {row.note}".strip("; "))
            tests |= {(a, b): why, (b, a): why}
            continue
        effect, p = (None if isinstance(x, str) else x for x in (row.minimum_effect, row.p_holm))
        ends = row.difference, row.ci_low, row.ci_high
        found = Finding(*ends, row.seeds, n=row.n, note=row.note, minimum_effect=effect, p=p)
        tests[a, b] = found
        tests[b, a] = replace(found, value=-ends[0], low=-ends[2], high=-ends[1])
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
        goal = GOALS.get(pair[0].metric)
        if goal and test.p is not None and test.p <= ALPHA:
            if missing := set(pair) - found.keys():
                key = "/".join(missing.pop())
                raise InputError(f"{tests}: no {key} in the summary; make both from the same cells")
            rank = {"↓": lambda x: x, "↑": lambda x: -x, "→0": abs}[goal]
            winners.add(min(pair, key=lambda key: rank(found[key].value or 0.0)))
    return frozenset(winners)


def _why_absent(key: Key, summary: Summary | None) -> str:
    where = f"{adapter_name(key.adapter)} at {precision_name(key.precision)}"
    if summary is None:
        controls = "controls were not run: " if origin(key.adapter) != key.adapter else ""
        return f"{controls}no number for {where}"
    if summary.absent == UNDEFINED:
        return f"{where}: undefined, too little was forgotten for anything to come back"
    return f"{where}: {summary.absent}"
