"""The mean over seeds: what a table's cell and a figure's point show."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple, TypeVar

from qunlearn.tables.metrics import DIVERGED, UNDEFINED, Score

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
        low, high: the ends of those seeds' 95 % intervals, averaged. The items are the same in
            every seed, so this shows the doubt that the choice of items leaves, not that of seeds.
        seeds: how many runs there are.
        diverged: how many of them diverged.
        undefined: of how many the metric is undefined.
    """

    value: float | None
    low: float | None
    high: float | None
    seeds: int
    diverged: int
    undefined: int = 0


def over_seeds(scores: Iterable[Score]) -> dict[Key, Summary]:
    """Average `scores` over their seeds."""
    groups: dict[Key, list[Score]] = {}
    for score in scores:
        cell = score.cell
        key = Key(cell.corpus, cell.objective, cell.adapter, cell.precision, score.metric)
        groups.setdefault(key, []).append(score)
    return {key: _summarise(group) for key, group in groups.items()}


def distinct(values: Iterable[T]) -> list[T]:
    """`values` without repeats, in the order of their first appearance (the configuration's)."""
    return list(dict.fromkeys(values))


def _summarise(scores: Sequence[Score]) -> Summary:
    ends = [
        (score.value, score.ci_low, score.ci_high)
        for score in scores
        if score.value is not None and score.ci_low is not None and score.ci_high is not None
    ]
    diverged, undefined = (
        sum(score.absent == reason for score in scores) for reason in (DIVERGED, UNDEFINED)
    )
    if not ends:
        return Summary(None, None, None, len(scores), diverged, undefined)
    value, low, high = (fmean(column) for column in zip(*ends, strict=True))
    return Summary(value, low, high, len(scores), diverged, undefined)
