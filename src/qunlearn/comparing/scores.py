"""The scores of two runs of an experiment, cell by cell: how far apart, and whether within noise.

Both runs asked the same items, so that the difference of a metric is judged paired over them, as
between two variants of one run. It is *outside noise* where its 95 % interval does not hold 0 and
Student's t over the items has p < 0.05 after Holm's correction for all tests of the comparison, or
all items show the very same difference. A difference below `NEGLIGIBLE` is not tested: tables show
it in their last digit, if at all. Nor are scores that are the same item by item. Where the interval
holds 0 the test can change nothing; it is not made, and counts in the correction with a p of 1.

PrivLeak has no test of its own: where its interval does not hold 0, it is outside noise if its AUC
or that of retrain, which it is made of, is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean, variance

import numpy as np

from qunlearn.comparing.runs import Run
from qunlearn.errors import InputError
from qunlearn.evidence.bootstrap import item_draws, percentiles
from qunlearn.evidence.cells import BEFORE, Evaluations, Variant
from qunlearn.evidence.inference import ALPHA, doubt, holm
from qunlearn.evidence.items import METRICS, Items, difference, value
from qunlearn.tables.metrics import Cell

NEGLIGIBLE = 1e-5  # of the value: the tables show six significant digits


class Verdict(StrEnum):
    """What is said of a metric of a cell in two runs."""

    IDENTICAL = "identical"
    EQUAL = "equal to 5 digits"
    WITHIN = "within noise"
    OUTSIDE = "outside noise"
    DIVERGED = "diverged in one"


@dataclass(frozen=True)
class Row:
    """One metric of one cell in both runs, in the metric's own unit.

    Attributes:
        cell, metric: which.
        first, second: its value in each run; None where the training diverged.
        low, high: the 95 % interval of first - second, paired over the items; None where there
            is nothing to be told.
        p, p_holm: of the test; None where none was made.
        tests: how many the correction is for, this one among them; 0 where it is none of them.
        spread: half the width of the first run's own 95 % interval, which the tables show.
        seed_spread: the standard deviation over the seeds of one run; None with one seed.
        n: items.
    """

    cell: str
    metric: str
    first: float | None
    second: float | None
    verdict: Verdict
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    tests: int = 0
    spread: float | None = None
    seed_spread: float | None = None
    n: int | None = None

    @property
    def distance(self) -> float:
        """|first - second|; infinite where one of them diverged."""
        if self.first is None or self.second is None:
            return 0.0 if self.first is self.second else math.inf
        return abs(self.first - self.second)


def compare_scores(first: Run, second: Run) -> list[Row]:
    """Every metric of every cell that both runs have, in the order of their names.

    Raises:
        InputError: records are broken, are of other items in one run than in the other, or
            PrivLeak's reference is missing.
    """
    cells = [name for name in first.cells if name in second.cells]
    if not cells:
        raise InputError(
            f"{first.results} and {second.results} have no evaluated cell in common; evaluate the "
            "same cells in both"
        )
    read = [Evaluations(run.results / "eval", cells) for run in (first, second)]
    found: list[tuple[Row, tuple[Items, Items] | None]] = []
    for cell in cells:
        for metric in METRICS:
            a, b = (each.items(cell, metric) for each in read)
            if a is None or b is None:
                found.append((_absent(cell, metric, a, b), None))
            elif a.ids != b.ids:
                raise InputError(
                    f"{second.results}: cell '{cell}' was asked other items for {metric} than in "
                    f"{first.results}; compare runs of one experiment"
                )
            else:
                found.append((_row(cell, metric, a, b), (a, b)))
    return _judged(_with_seeds(_tested(found)), read[0])


def _absent(cell: str, metric: str, a: Items | None, b: Items | None) -> Row:
    first, second = (None if items is None else value(items) for items in (a, b))
    verdict = Verdict.IDENTICAL if a is b is None else Verdict.DIVERGED
    return Row(cell, metric, first, second, verdict)


def _row(cell: str, metric: str, a: Items, b: Items) -> Row:
    """The row without its test."""
    first, second = value(a), value(b)
    row = Row(cell, metric, first, second, Verdict.IDENTICAL, n=sum(a.sizes))
    if all(map(np.array_equal, a.groups, b.groups)):
        return row
    if math.isclose(first, second, rel_tol=NEGLIGIBLE, abs_tol=NEGLIGIBLE * NEGLIGIBLE):
        return replace(row, verdict=Verdict.EQUAL)
    own, other = item_draws(a), item_draws(b)  # the same items in each draw of both
    low, high = percentiles(own - other)
    ends = percentiles(own)
    spread = (ends[1] - ends[0]) / 2
    return replace(row, verdict=Verdict.WITHIN, low=low, high=high, spread=spread)


def _tested(found: Sequence[tuple[Row, tuple[Items, Items] | None]]) -> list[Row]:
    """The rows with their p, of those whose test decides."""
    rows = [row for row, _ in found]
    places = [
        index
        for index, row in enumerate(rows)
        if row.verdict is Verdict.WITHIN and row.metric != "privleak"
    ]
    tests = dict.fromkeys(places, 1.0)
    for index in places:
        rows[index] = replace(rows[index], tests=len(places))
        pair = found[index][1]
        if pair is not None and _without_zero(rows[index]):
            found_p = doubt([difference(*pair)]).p()
            tests[index] = 0.0 if found_p is None else found_p
    for index, p_holm in zip(places, holm(list(tests.values())), strict=True):
        if _without_zero(rows[index]):
            rows[index] = replace(rows[index], p=tests[index], p_holm=p_holm)
    return rows


def _with_seeds(rows: Sequence[Row]) -> list[Row]:
    """The rows with the spread of their seeds: of both runs' variances, the mean."""
    seeds: dict[tuple[Variant, str], list[Row]] = {}
    for row in rows:
        cell = Cell.parse(row.cell)
        variant = Variant(cell.corpus, cell.objective, cell.adapter, cell.precision)
        seeds.setdefault((variant, row.metric), []).append(row)
    spreads: dict[tuple[str, str], float] = {}
    for group in seeds.values():
        first = [row.first for row in group if row.first is not None]
        second = [row.second for row in group if row.second is not None]
        if min(len(first), len(second)) > 1:
            spread = math.sqrt(fmean(variance(values) for values in (first, second)))
            spreads |= {(row.cell, row.metric): spread for row in group}
    return [replace(row, seed_spread=spreads.get((row.cell, row.metric))) for row in rows]


def _judged(rows: Sequence[Row], read: Evaluations) -> list[Row]:
    """The rows with their verdicts."""
    outside = {
        (row.cell, row.metric)
        for row in rows
        if row.p_holm is not None and row.p_holm < ALPHA and _without_zero(row)
    }
    for row in rows:
        if row.metric == "privleak" and _without_zero(row):
            retrain = read.reference(Cell.parse(row.cell), "retrain", BEFORE)
            if {(row.cell, "auc"), (retrain, "auc")} & outside:
                outside.add((row.cell, row.metric))
    return [
        replace(row, verdict=Verdict.OUTSIDE) if (row.cell, row.metric) in outside else row
        for row in rows
    ]


def _without_zero(row: Row) -> bool:
    return row.low is not None and row.high is not None and not row.low <= 0 <= row.high
