"""The metrics of one model as statistics of its records, item by item.

An AUC and PrivLeak have two groups of items, the forget and the holdout texts; all else has one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from qunlearn.evaluate import formulas, records
from qunlearn.evaluate.records import Record
from qunlearn.statistics.items import Floats, Groups, Items, Weights, mean, ratio, value


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


def text_scores(items: list[Record]) -> Items:
    """ROUGE-L F1 x 100, on average over the answers."""
    return mean([item["id"] for item in items], [100.0 * item["rougeL"] for item in items])


def likelihood(items: list[Record], split: str) -> Items:
    """NLL per token of a split's texts, in nats: a ratio of sums."""
    return ratio(*(records.of_split(items, split, field) for field in ("id", "nll_sum", "tokens")))


def membership(items: list[Record]) -> Items:
    """`formulas.auc` of the Min-K% scores; the groups are the forget and the holdout texts.

    What is kept of a score is its rank among the model's own, which is all that an AUC knows.
    """
    flat = "every forget text compares alike with every holdout text"
    return Items(_texts(items), _ranks(items), _auc, units=None, flat=flat)


def privleak(items: list[Record], retrain: list[Record]) -> Items:
    """`formulas.privleak`: a model's AUC against that of retrain in bf16, in percent.

    Retrain was asked the same texts, so that each draw takes the AUC of both on the texts drawn:
    the interval holds retrain's uncertainty too. A draw in which retrain's AUC is 0 has no number.

    Raises:
        InputError: retrain's AUC is 0 on all texts.
    """
    own, reference = _ranks(items), _ranks(retrain)
    formulas.privleak(value(membership(items)), value(membership(retrain)))  # complains of a 0
    same = all(map(np.array_equal, own, reference))
    return Items(
        _texts(items),
        tuple(np.concatenate(pair) for pair in zip(own, reference, strict=True)),
        _privleak,
        units=None,
        flat="0 because it ranks the texts as retrain does" if same else membership(items).flat,
        gap="retrain's AUC was 0 in them",
    )


DEFINITIONS = {
    "verbmem": Definition(records.VERBMEM, lambda own, _: text_scores(own)),
    "knowmem": Definition(records.KNOWMEM_FORGET, lambda own, _: text_scores(own)),
    "privleak": Definition(records.PRIVLEAK, lambda own, retrain: privleak(own, retrain())),
    "utility": Definition(records.KNOWMEM_RETAIN, lambda own, _: text_scores(own)),
    "auc": Definition(records.PRIVLEAK, lambda own, _: membership(own)),
    "nll_forget": Definition(records.PRIVLEAK, lambda own, _: likelihood(own, "forget")),
    "nll_retain": Definition(records.PRIVLEAK, lambda own, _: likelihood(own, "retain")),
}


def _auc(groups: Groups, weights: Weights, field: int = 0) -> Floats:
    forget, holdout = (group[field] for group in groups)
    table = formulas.comparisons(list(forget), list(holdout))
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
    ranks = formulas.comparisons(scores, scores).sum(axis=1)
    return ranks[None, : len(forget)], ranks[None, len(forget) :]
