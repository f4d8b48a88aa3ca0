"""Which models are tested against which, and what each test says: the rows of `tests.csv`.

Three families, each corrected by Holm for its size within a corpus. Controls are corrected apart
from the main variants: to run them does not change what is said of those.

* `adapters`: LoRA against each other variant, same objective and precision; two-sided.
* `quantization`: each model in a precision against itself in bf16; two-sided.
* `reversion`: the same for unlearned models and forget metrics, one-sided: does quantization bring
  them nearer to the target? Where reversion is undefined there is nothing that could come back, and
  no test. Nor is there one of fewer than three seeds: see `inference`.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from qunlearn.analysis.cells import Evaluations, Variant, check_same_items
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.over_seeds import absences
from qunlearn.analysis.reversion import FORGET_METRICS, reversion
from qunlearn.experiment.names import BEFORE, DIVERGED, REFERENCES, UNDEFINED
from qunlearn.run.csvfile import Value
from qunlearn.settings.unlearning import Adapter
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import Side, doubt, effect_dz, holm, too_few
from qunlearn.statistics.items import Items, difference

MAIN: tuple[str, ...] = get_args(Adapter)
COMPARED = ("verbmem", "knowmem", "privleak", "utility", "nll_forget")


@dataclass(frozen=True)
class Comparison:
    """A paired test of two models, a minus b.

    Attributes:
        family: `adapters`, `quantization` or `reversion`.
        metric: e.g. `verbmem`; differences are in its own unit.
        a, b: the models.
        difference: on average over the seeds; None where a or b diverged in each of them.
        low, high: the ends of its 95 % interval, over seeds and items.
        p: of the test; None where none was made.
        p_holm: corrected for the number of tests in the family.
        effect_dz: Cohen's d_z; None where it is undefined.
        minimum_effect: the smallest true difference that this n at these seeds would show with a
            power of 0.8; of fewer than three seeds, that other items of these runs would.
        n: the items; None where there is no difference.
        seeds: how many have a number for both models.
        note: what limits the numbers, in words.
    """

    family: str
    metric: str
    a: Variant
    b: Variant
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    effect_dz: float | None = None
    minimum_effect: float | None = None
    n: int | None = None
    seeds: int = 0
    note: str = ""


def comparisons(evaluations: Path, cells: Sequence[str]) -> list[Comparison]:
    """All tests that `cells` allow, family by family, in the order of `cells`.

    Args:
        evaluations: the folder that holds the records and `metrics.json` of each cell.
        cells: their names.

    Raises:
        InputError: a cell, or what its PrivLeak or reversion refers to, was not evaluated, is
            broken, or is of other items.
    """
    read = Evaluations(evaluations, cells)
    variants = list(read.variants())
    rows = [
        *_compare(read, "adapters", _adapters(variants), COMPARED),
        *_compare(read, "quantization", _quantization(variants), COMPARED),
        *_compare(
            read,
            "reversion",
            [pair for pair in _quantization(variants) if pair[0].objective not in REFERENCES],
            tuple(FORGET_METRICS),
        ),
    ]
    return _corrected(rows)


def write_tests(path: Path, experiment: str, rows: Iterable[Comparison]) -> None:
    """Write `rows` as `tests.csv`, in their order."""
    TESTS_TABLE.write(
        path,
        (
            (
                *(experiment, row.a.corpus, row.family, row.metric, row.a.objective),
                *(row.a.adapter, row.a.precision, row.b.adapter, row.b.precision),
                *(*_fields(row), row.seeds, row.note),
            )
            for row in rows
        ),
    )


def _fields(row: Comparison) -> list[Value]:
    """From `difference` to `n`; a word where there is no number."""
    if row.difference is None:
        return [DIVERGED, *[None] * 7]
    untested = too_few(row.seeds) or UNDEFINED
    p = [untested if number is None else number for number in (row.p, row.p_holm)]
    effects = [UNDEFINED if x is None else x for x in (row.effect_dz, row.minimum_effect)]
    return [row.difference, row.low, row.high, *p, *effects, row.n]


def _adapters(variants: Sequence[Variant]) -> list[tuple[Variant, Variant]]:
    others = [name for name in MAIN if name != "lora"]
    pairs = [
        (variant, variant._replace(adapter=other))
        for variant in variants
        if variant.adapter == "lora"
        for other in others
    ]
    return [pair for pair in pairs if pair[1] in variants]


def _quantization(variants: Sequence[Variant]) -> list[tuple[Variant, Variant]]:
    pairs = [(variant, variant._replace(precision=BEFORE)) for variant in variants]
    return [pair for pair in pairs if pair[0] != pair[1] and pair[1] in variants]


def _compare(
    read: Evaluations,
    family: str,
    pairs: Sequence[tuple[Variant, Variant]],
    metrics: Sequence[str],
) -> Iterator[Comparison]:
    names = read.variants()
    for a, b in pairs:
        seeds = [seed for seed in names[a] if seed in names[b]]
        for metric in metrics if seeds else ():
            cells = [(names[a][seed], names[b][seed]) for seed in seeds]
            yield _test(read, family, metric, (a, b), cells)


def _test(
    read: Evaluations,
    family: str,
    metric: str,
    pair: tuple[Variant, Variant],
    cells: Sequence[tuple[str, str]],
) -> Comparison:
    """Compare two variants, given the two cells of each seed."""
    found: dict[str, tuple[Items, Items]] = {}
    for name, other in cells:
        first, second = read.items(name, metric), read.items(other, metric)
        if first is not None and second is not None:
            found[name] = first, second
            check_same_items(metric, ((name, first), (other, second)))
    check_same_items(metric, ((name, items[0]) for name, items in found.items()))
    notes = absences(len(cells), len(cells) - len(found), 0)
    if not found:
        return Comparison(family, metric, *pair, note="; ".join(notes))
    side: Side = "two-sided"
    if family == "reversion":
        side = "greater" if FORGET_METRICS[metric].back > 0 else "less"
        words = {name: reversion(read, name, metric) for name in found}
        absent = [word for word in words.values() if isinstance(word, str)]
        counts = absent.count(DIVERGED), absent.count(UNDEFINED)
        notes += [f"reversion {note}" for note in absences(len(found), *counts)]
        if len(absent) == len(found):
            return _numbers(family, metric, pair, list(found.values()), None, notes)
        found = {name: found[name] for name, word in words.items() if not isinstance(word, str)}
    return _numbers(family, metric, pair, list(found.values()), side, notes)


def _numbers(
    family: str,
    metric: str,
    pair: tuple[Variant, Variant],
    by_seed: Sequence[tuple[Items, Items]],
    side: Side | None,
    notes: Sequence[str],
) -> Comparison:
    """The row of a comparison in these seeds; without a test where `side` is None."""
    differences = [difference(a, b) for a, b in by_seed]
    known, found = estimate(differences), doubt(differences)
    effect = found.minimum_effect()
    limits = [*notes, *known.limits]
    if side is None:
        limits.append("no test")
    if effect is None:
        limits.append("nothing varies, so that no minimum effect is known")
    return Comparison(
        family,
        metric,
        *pair,
        difference=known.value,
        low=known.low,
        high=known.high,
        p=None if side is None or too_few(found.seeds) else found.p(side),
        effect_dz=effect_dz(by_seed),
        minimum_effect=effect,
        n=sum(differences[0].sizes),
        seeds=len(by_seed),
        note="; ".join(limits),
    )


def _corrected(rows: Sequence[Comparison]) -> list[Comparison]:
    """The rows with their `p_holm`."""
    families: dict[tuple[str, str, bool], list[int]] = {}
    for index, row in enumerate(rows):
        if row.p is not None:
            main = row.a.adapter in MAIN or row.a.objective in REFERENCES
            families.setdefault((row.family, row.a.corpus, main), []).append(index)
    corrected = list(rows)
    for members in families.values():
        for index, p in zip(members, holm([rows[i].p or 0.0 for i in members]), strict=True):
            corrected[index] = replace(rows[index], p_holm=p)
    return corrected
