"""A metric of one model as its scores item by item: what is drawn again.

Items come in one group or more: prompts, questions or texts of one split; forget and holdout texts
for what tells the two apart. A group is drawn by itself. `weights` are what a draw makes of the
items: a matrix [resamples, items] for each group, whose rows sum to 1.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from qunlearn.evaluate import metrics, records
from qunlearn.evaluate.records import Record

Floats = NDArray[np.float64]
Groups = tuple[Floats, ...]
Weights = Sequence[Floats]


class Statistic(Protocol):
    """A number that is computed from items, and again from items drawn with replacement."""

    @property
    def ids(self) -> tuple[Any, ...]:
        """The items' names, a group after the other; only models of the same items compare."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items each group has."""

    @property
    def flat(self) -> str:
        """In words, what it means when every draw gives the same number."""

    @property
    def gap(self) -> str:
        """In words, what it means when a draw gives NaN; empty where none can."""

    def draw(self, weights: Weights) -> Floats:
        """[resamples]: the number in each draw; NaN where a draw has none."""


@dataclass(frozen=True, eq=False)
class Items:
    """The scores of one model and the formula that makes the metric of them.

    Attributes:
        ids: names of the items, a group after the other.
        groups: [fields, items] for each group.
        formula: from groups and weights to [resamples] values.
        units: from groups to [items] whose mean is the value and whose spread makes the value's
            error; None where there are two groups, so that no single spread says it.
        flat: as in `Statistic`.
        gap: as in `Statistic`.
    """

    ids: tuple[Any, ...]
    groups: Groups
    formula: Callable[[Groups, Weights], Floats]
    units: Callable[[Groups], Floats] | None
    flat: str = "all scores equal"
    gap: str = ""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items each group has."""
        return tuple(group.shape[1] for group in self.groups)

    def draw(self, weights: Weights) -> Floats:
        """[resamples]: the metric in each draw; NaN where a draw has none."""
        return self.formula(self.groups, weights)


@dataclass(frozen=True, eq=False)
class Combination:
    """A number made of several statistics of the same items, which are drawn together.

    Attributes:
        parts: the statistics.
        formula: from the [resamples] of each part to those of the whole.
        flat: as in `Statistic`.
        gap: as in `Statistic`.
    """

    parts: tuple[Statistic, ...]
    formula: Callable[..., Floats]
    flat: str
    gap: str = ""

    @property
    def ids(self) -> tuple[Any, ...]:
        """The names of the items."""
        return self.parts[0].ids

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many items each group has."""
        return self.parts[0].sizes

    def draw(self, weights: Weights) -> Floats:
        """[resamples]: the combination in each draw; NaN where a draw has none."""
        return self.formula(*(part.draw(weights) for part in self.parts))


def difference(first: Statistic, second: Statistic) -> Combination:
    """`first` - `second`, which may be differences themselves.

    A change between two precisions is a difference; how far the changes of two variants lie apart
    is one of two of these.
    """
    flat = "the difference is the same whichever items are drawn"
    return Combination((first, second), np.subtract, flat, first.gap or second.gap)


def value(statistic: Statistic) -> float:
    """The statistic on all items, each once."""
    return float(statistic.draw([np.full((1, n), 1.0 / n) for n in statistic.sizes])[0])


@dataclass(frozen=True)
class Definition:
    """Which file of records a metric is made of, and how.

    Attributes:
        file: its name, a key of `records.FIELDS`.
        build: from a model's records and a function that reads retrain's `privleak.jsonl`, which
            only PrivLeak calls.
    """

    file: str
    build: Callable[[list[Record], Callable[[], list[Record]]], Items]


def mean(ids: Sequence[Any], scores: Sequence[float]) -> Items:
    """The mean of one score an item."""
    group = np.array([scores], np.float64)
    return Items(tuple(ids), (group,), _mean, units=lambda groups: groups[0][0])


def text_scores(items: list[Record]) -> Items:
    """ROUGE-L F1 x 100, on average over the answers."""
    return mean([item["id"] for item in items], [100.0 * item["rougeL"] for item in items])


def likelihood(items: list[Record], split: str) -> Items:
    """NLL per token of a split's texts, in nats: a ratio of sums."""
    fields = [records.of_split(items, split, field) for field in ("nll_sum", "tokens")]
    ids = tuple(records.of_split(items, split, "id"))
    return Items(ids, (np.array(fields, np.float64),), _ratio, units=_ratio_units)


def membership(items: list[Record]) -> Items:
    """`metrics.auc` of the Min-K% scores; the groups are the forget and the holdout texts.

    What is kept of a score is its rank among the model's own, which is all that an AUC knows.
    """
    flat = "every forget text compares alike with every holdout text"
    return Items(_texts(items), _ranks(items), _auc, units=None, flat=flat)


def privleak(items: list[Record], retrain: list[Record]) -> Items:
    """`metrics.privleak`: a model's AUC against that of retrain in bf16, in percent.

    Retrain was asked the same texts, so that each draw takes the AUC of both on the texts drawn:
    the interval holds retrain's uncertainty too. A draw in which retrain's AUC is 0 has no number.

    Raises:
        InputError: retrain's AUC is 0 on all texts.
    """
    own, reference = _ranks(items), _ranks(retrain)
    metrics.privleak(value(membership(items)), value(membership(retrain)))  # complains of a 0
    same = all(map(np.array_equal, own, reference))
    return Items(
        _texts(items),
        tuple(np.concatenate(pair) for pair in zip(own, reference, strict=True)),
        _privleak,
        units=None,
        flat="0 because it ranks the texts as retrain does" if same else membership(items).flat,
        gap="retrain's AUC was 0 in them",
    )


METRICS = {
    "verbmem": Definition(records.VERBMEM, lambda own, _: text_scores(own)),
    "knowmem": Definition(records.KNOWMEM_FORGET, lambda own, _: text_scores(own)),
    "privleak": Definition(records.PRIVLEAK, lambda own, retrain: privleak(own, retrain())),
    "utility": Definition(records.KNOWMEM_RETAIN, lambda own, _: text_scores(own)),
    "auc": Definition(records.PRIVLEAK, lambda own, _: membership(own)),
    "nll_forget": Definition(records.PRIVLEAK, lambda own, _: likelihood(own, "forget")),
    "nll_retain": Definition(records.PRIVLEAK, lambda own, _: likelihood(own, "retain")),
}


def _mean(groups: Groups, weights: Weights) -> Floats:
    return np.asarray(weights[0] @ groups[0][0])


def _ratio(groups: Groups, weights: Weights) -> Floats:
    above, below = groups[0]
    return np.asarray((weights[0] @ above) / (weights[0] @ below))


def _ratio_units(groups: Groups) -> Floats:
    """The ratio's linearisation (the delta method): R + (above - R * below) / mean(below)."""
    above, below = groups[0]
    ratio = above.sum() / below.sum()
    return np.asarray(ratio + (above - ratio * below) / below.mean())


def _auc(groups: Groups, weights: Weights, field: int = 0) -> Floats:
    forget, holdout = (group[field] for group in groups)
    table = metrics.comparisons(list(forget), list(holdout))
    return np.asarray(np.einsum("rf,rf->r", weights[1] @ table, weights[0]))


def _privleak(groups: Groups, weights: Weights) -> Floats:
    own, reference = _auc(groups, weights, 0), _auc(groups, weights, 1)
    scaled = np.full_like(own, np.nan)
    np.divide(100.0 * (own - reference), reference, out=scaled, where=reference > 0)
    return scaled


def _texts(items: list[Record]) -> tuple[Any, ...]:
    forget, holdout = (records.of_split(items, split, "id") for split in ("forget", "holdout"))
    return (*forget, *holdout)


def _ranks(items: list[Record]) -> Groups:
    """[1, texts] ranks of the forget and of the holdout texts by Min-K%; ties share their mean."""
    forget, holdout = (records.of_split(items, split, "min_k") for split in ("forget", "holdout"))
    scores = [*forget, *holdout]
    ranks = metrics.comparisons(scores, scores).sum(axis=1)
    return ranks[None, : len(forget)], ranks[None, len(forget) :]
