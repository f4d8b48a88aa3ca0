"""The metrics of one model as statistics of its records, item by item.

An AUC and PrivLeak have two groups of items, the forget and the holdout texts; all else has one.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from qunlearn.evaluate import formulas, records
from qunlearn.evaluate.records import Record, of_split
from qunlearn.run.errors import InputError
from qunlearn.statistics.items import Floats, Statistic, Weights, mean, ratio, value

Ranks = tuple[Floats, Floats]
"""Of the forget and of the holdout texts."""


class Definition(NamedTuple):
    """Which file of records (a key of `records.FIELDS`) a metric is made of, of which splits of its
    texts (if it is of texts), and how.

    `build` takes a model's records and a function that reads retrain's `privleak.jsonl`, which only
    PrivLeak calls.
    """

    file: str
    build: Callable[[list[Record], Callable[[], list[Record]]], Statistic]
    splits: tuple[str, ...] = ()

    def possible(self, own: list[Record]) -> bool:
        """Whether a model's records of the file make this metric: the corpus may lack its items."""
        return bool(own) and {*self.splits} <= {item.get("split") for item in own}


def text_scores(items: list[Record]) -> Statistic:
    """ROUGE-L F1 x 100, on average over the answers."""
    return mean([item["id"] for item in items], [100.0 * item["rougeL"] for item in items])


def likelihood(items: list[Record], split: str) -> Statistic:
    """NLL per token of a split's texts, in nats: a ratio of sums."""
    return ratio(*(of_split(items, split, field) for field in ("id", "nll_sum", "tokens")))


def membership(items: list[Record]) -> Statistic:
    """`formulas.auc` of the Min-K% scores; the groups are the forget and the holdout texts.

    What is kept of a score is its rank among the model's own, which is all that an AUC knows.
    """
    flat = "every forget text compares alike with every holdout text"
    return _of_texts(items, partial(_auc, _ranks(items)), flat)


def privleak(items: list[Record], retrain: list[Record]) -> Statistic:
    """`formulas.privleak`: a model's AUC against that of retrain in bf16, in percent.

    Retrain was given the same texts, so that each draw takes the AUC of both on the texts drawn:
    the interval holds retrain's uncertainty too. A draw in which retrain's AUC is 0 has no number.

    Raises:
        InputError: retrain's AUC is 0 on all texts.
    """
    if value(membership(retrain)) == 0:
        raise InputError(
            "retrain's AUC of forget against holdout is 0, so PrivLeak is undefined; add texts"
        )
    own, reference = _ranks(items), _ranks(retrain)

    def draw(weights: Weights) -> Floats:
        return formulas.privleak(_auc(own, weights), _auc(reference, weights))

    same = all(map(np.array_equal, own, reference))
    flat = "0 because it ranks the texts as retrain does" if same else membership(items).flat
    return _of_texts(items, draw, flat, "retrain's AUC was 0 in them")


BOTH = ("forget", "holdout")
DEFINITIONS = {
    "verbmem": Definition(records.VERBMEM, lambda own, _: text_scores(own)),
    "knowmem": Definition(records.KNOWMEM_FORGET, lambda own, _: text_scores(own)),
    "privleak": Definition(records.PRIVLEAK, lambda own, retrain: privleak(own, retrain()), BOTH),
    "utility": Definition(records.KNOWMEM_RETAIN, lambda own, _: text_scores(own)),
    "auc": Definition(records.PRIVLEAK, lambda own, _: membership(own), BOTH),
    "nll_forget": Definition(
        records.PRIVLEAK, lambda own, _: likelihood(own, "forget"), ("forget",)
    ),
    "nll_retain": Definition(
        records.PRIVLEAK, lambda own, _: likelihood(own, "retain"), ("retain",)
    ),
}


def _of_texts(
    items: list[Record], draw: Callable[[Weights], Floats], flat: str, gap: str = ""
) -> Statistic:
    forget, holdout = (of_split(items, split, "id") for split in ("forget", "holdout"))
    return Statistic((*forget, *holdout), (len(forget), len(holdout)), draw, flat, gap)


def _auc(ranks: Ranks, weights: Weights) -> Floats:
    table = formulas.comparisons(*ranks)
    return np.asarray(np.einsum("rf,rf->r", weights[1] @ table, weights[0]))


def _ranks(items: list[Record]) -> Ranks:
    """Ranks of the forget and of the holdout texts by Min-K%, together; ties share their mean."""
    forget, holdout = (of_split(items, split, "min_k") for split in ("forget", "holdout"))
    scores = [*forget, *holdout]
    ranks = formulas.comparisons(scores, scores).sum(axis=1)
    return ranks[: len(forget)], ranks[len(forget) :]
