"""Differences between models: the paired tests of `tests.csv`, and the sums that claims are about.

The tests are of three families, each corrected by Holm for its size within a corpus. Controls are
corrected apart from the main variants: running them does not change what is said of those.

* `adapters`: LoRA against each other variant, same objective and precision; two-sided.
* `quantization`: each model in a precision against itself in bf16; two-sided.
* `reversion`: the same for unlearned models and forget metrics, one-sided: does quantization bring
  them nearer to the target? Where reversion is undefined there is nothing that could come back, and
  no test. Nor is there one of fewer than three seeds: see `inference`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import fsum, hypot
from pathlib import Path
from typing import get_args

import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS, Evaluations
from qunlearn.analysis.frame import TESTS_TABLE, rows
from qunlearn.analysis.summary import Key, Summary, absences, distinct
from qunlearn.experiment.labels import GOALS, adapter_name, origin, precision_name
from qunlearn.experiment.names import BEFORE, DIVERGED, REFERENCES, UNDEFINED, Cell
from qunlearn.quantize.method import Precision
from qunlearn.run.csvfile import Value
from qunlearn.settings.unlearning import Adapter
from qunlearn.statistics import inference
from qunlearn.statistics.items import Floats, Statistic, combine, difference

MAIN: tuple[str, ...] = get_args(Adapter)
UNPAIRED = "the intervals of its parts were added as if independent"
NO_COMMON_SEED = "no seed has a number for all that is compared"
Signed = Sequence[tuple[int, Key]]
"""The terms of a sum of numbers, each with its sign."""
COMPARED = ("verbmem", "knowmem", "privleak", "utility", "nll_forget")


def comparisons(read: Evaluations, experiment: str = "") -> pd.DataFrame:
    """All tests that the evaluations allow, family by family, in the order of the cells.

    Returns:
        TESTS_TABLE, a test a row. `difference` is a minus b, on average over the seeds that have a
        number for both; `p_holm` is corrected for the tests of the family; `minimum_effect` is the
        smallest true difference that this n at these seeds would show with a power of 0.8 (of fewer
        than three seeds, that other items of these runs would). Where there is no number there is
        a word, as in the file.

    Raises:
        InputError: as `Evaluations.statistics`.
    """
    variants = list(read.variants)
    quantized = [(a, replace(a, precision=BEFORE)) for a in variants if a.precision != BEFORE]
    others = [name for name in MAIN if name != "lora"]
    loras = [cell for cell in variants if cell.adapter == "lora"]
    families = {
        "adapters": [(a, replace(a, adapter=other)) for a in loras for other in others],
        "quantization": quantized,
        "reversion": [pair for pair in quantized if pair[0].objective not in REFERENCES],
    }
    made = []
    for family, pairs in families.items():
        for a, b in pairs:
            theirs = read.variants.get(b, {})
            names = {cell: theirs[k] for k, cell in read.variants[a].items() if k in theirs}
            variants_of = a.objective, a.adapter, a.precision, b.adapter, b.precision
            known = read.metrics_of(a) if names else ()
            for metric in FORGET_METRICS if family == "reversion" else COMPARED:
                if metric not in known:
                    continue
                numbers = _test(read, family, metric, names)
                made.append([experiment, a.corpus, family, metric, *variants_of, *numbers])
    found = pd.DataFrame(made, columns=list(TESTS_TABLE), dtype=object)
    with_p = found[found["p"].map(lambda p: isinstance(p, float)).astype(bool)]
    main = with_p["adapter_a"].isin([*MAIN, "none"])
    for _, group in with_p.groupby([with_p["family"], with_p["corpus"], main]):
        found.loc[group.index, "p_holm"] = inference.holm(list(group["p"]))
    return found


def tested(by_seed: Sequence[Statistic], side: inference.Side | None) -> Summary:
    """A difference over seeds and items, tested on a side of 0 where there are seeds enough."""
    found = inference.estimate(by_seed)
    n, note, effect = sum(by_seed[0].sizes), "; ".join(found.limits), found.minimum_effect()
    p = None if side is None or inference.too_few(found.seeds) else found.p(side)
    numbers = found.value, found.low, found.high, found.seeds
    return Summary(*numbers, 0, 0, n, note, effect, p, corrected=False)


def _test(read: Evaluations, family: str, metric: str, names: Mapping[str, str]) -> list[Value]:
    """The numbers of a test of two variants and the note, given the two cells of each seed."""
    known, _ = read.statistics([*names, *names.values()], metric)
    pairs = {a: (known[a], known[b]) for a, b in names.items() if a in known and b in known}
    notes = absences(len(names), len(names) - len(pairs), 0)
    if not pairs:
        return [DIVERGED, *[None] * 7, 0, *notes]
    side: inference.Side | None = "two-sided"
    if family == "reversion":
        defined, words = read.statistics(pairs, f"reversion_{metric}")
        missing = absences(len(pairs), words.count(DIVERGED), words.count(UNDEFINED))
        notes += [f"reversion {note}" for note in missing]
        side = ("greater" if FORGET_METRICS[metric] > 0 else "less") if defined else None
        pairs = {name: pairs[name] for name in defined or pairs}
    found = tested([difference(*pair) for pair in pairs.values()], side)
    untested = "no test" if side is None else ""
    still = "nothing varies, so that no minimum effect is known"
    notes += [found.note, untested, still if found.minimum_effect is None else ""]
    p = inference.too_few(found.seeds) or UNDEFINED if found.p is None else found.p
    sizes = inference.effect_dz(list(pairs.values())), found.minimum_effect
    shown = [UNDEFINED if size is None else size for size in sizes]
    ends = found.value, found.low, found.high
    return [*ends, p, p, *shown, found.n, found.seeds, "; ".join(filter(None, notes))]


def read_tests(path: Path) -> dict[tuple[Key, Key], Summary]:
    """The tests of one variant against another (family `adapters`) of a `tests.csv`.

    Each is there both ways round, the first minus the second. Raises as `frame.read`.
    """
    tests: dict[tuple[Key, Key], Summary] = {}
    for row in rows(path, TESTS_TABLE):
        if row.family != "adapters":
            continue
        a = Key(row.corpus, row.objective, row.adapter_a, row.precision_a, row.metric)
        b = a._replace(adapter=row.adapter_b, precision=row.precision_b)
        if isinstance(row.difference, str):
            found = absent(f"the difference is {row.difference}; {row.note}".strip("; "))
            tests[a, b] = tests[b, a] = found
            continue
        effect, p = (None if isinstance(x, str) else x for x in (row.minimum_effect, row.p_holm))
        value, low, high = row.difference, row.ci_low, row.ci_high
        found = Summary(value, low, high, row.seeds, 0, 0, row.n, row.note, effect, p)
        tests[a, b] = found
        tests[b, a] = replace(found, value=-value, low=-high, high=-low)
    return tests


def better(tests: Path, found: Mapping[Key, Summary]) -> frozenset[Key]:
    """The better one of each two variants that differ at the same precision.

    Args:
        tests: a `tests.csv`; its family `adapters` is read.
        found: the values of the same cells; PrivLeak is the better, the nearer it is to 0.
    """
    winners = set()
    for pair, test in read_tests(tests).items():
        goal = GOALS.get(pair[0].metric)
        if goal and test.p is not None and test.p <= inference.ALPHA:
            rank = {"↓": lambda x: x, "↑": lambda x: -x, "→0": abs}[goal]
            winners.add(min(pair, key=lambda key: rank(found[key].value or 0.0)))
    return frozenset(winners)


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
        effect = inference.DETECTABLE * error or None
        if len(terms) == 1:
            return replace(parts[0], minimum_effect=effect)
        if self.paired is not None:
            found = self.paired(terms, distance)
            return found if found.value is None else replace(found, note="; ".join(notes))
        value, half = fsum(values), inference.INTERVAL * error
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
