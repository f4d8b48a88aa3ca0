"""Reversion: how much of its forgetting a model loses when it is quantized.

    reversion of m = (m_q - m_bf16) / (m_target,q - m_bf16)

0: forgetting survived as it was; 1: the model is back at the target, quantized to the same
precision; below 0: quantization makes it forget more. The denominator is what was forgotten, seen
through the quantizer's own damage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qunlearn.analysis.cells import Evaluations, check_same_items
from qunlearn.analysis.metrics import Score
from qunlearn.experiment.names import BEFORE, DIVERGED, REFERENCES, UNDEFINED
from qunlearn.statistics.bootstrap import estimate, item_draws, percentiles
from qunlearn.statistics.items import Floats, Statistic, combine, difference

__all__ = ["BEFORE", "FORGET_METRICS", "Forgetting", "reversion", "reversions"]


@dataclass(frozen=True)
class Forgetting:
    """A metric of forgetting.

    Attributes:
        items: the metric whose scores it is computed from.
        rises: whether it rises with forgetting.
    """

    items: str
    rises: bool

    @property
    def back(self) -> int:
        """The sign of a change towards the target."""
        return -1 if self.rises else 1


FORGET_METRICS = {
    "verbmem": Forgetting("verbmem", rises=False),
    "knowmem": Forgetting("knowmem", rises=False),
    # PrivLeak is linear in the AUC, with the same constants for all models of a corpus.
    "privleak": Forgetting("auc", rises=True),
    "nll_forget": Forgetting("nll_forget", rises=True),
}


def reversions(evaluations: Path, cells: Sequence[str], experiment: str) -> list[Score]:
    """A row a forget metric for each unlearned model of `cells`, in their order.

    The interval is a paired bootstrap over the items: the three models are asked the same ones.
    Where the 95 % interval of what was forgotten includes 0, the model cannot be told from the
    target and the reversion is `undefined`.

    Raises:
        InputError: the records of a model, of it in bf16 or of the target in its precision are
            missing, broken, or of other items.
    """
    read = Evaluations(evaluations, cells)
    scores = []
    for name, cell in read.cells.items():
        if cell.objective in REFERENCES:
            continue
        for metric in FORGET_METRICS:
            row = f"reversion_{metric}"
            found = reversion(read, name, metric)
            if isinstance(found, str):
                scores.append(Score.missing(experiment, cell, row, found))
                continue
            known = estimate([found])
            value, low, high = (round(x, 6) for x in (known.value, known.low, known.high))
            scores.append(Score(experiment, cell, row, value, low, high, sum(found.sizes)))
    return scores


def reversion(evaluations: Evaluations, name: str, metric: str) -> Statistic | str:
    """The reversion of a model by one forget metric, or the word for why there is none.

    Args:
        evaluations: has the model, it in bf16 and the target in its precision.
        name: the cell of the quantized model.
        metric: a key of `FORGET_METRICS`.

    Raises:
        InputError: as for `reversions`.
    """
    definition = FORGET_METRICS[metric]
    cell = evaluations.cells[name]
    before_name = f"{cell.corpus}/{cell.model}/{BEFORE}"
    target_name = evaluations.reference(cell, "target", cell.precision)
    found: dict[str, Statistic] = {}
    for model in (name, before_name, target_name):
        items = evaluations.items(model, definition.items)
        if items is None:
            return DIVERGED
        found[model] = items
    check_same_items(definition.items, found.items())
    after, before, target = found[name], found[before_name], found[target_name]
    forgotten, _ = percentiles(definition.back * item_draws(difference(target, before)))
    if forgotten <= 0:
        return UNDEFINED
    flat = "0 by definition" if after is before else "the same whichever items are drawn"
    return combine((after, before, target), _share, flat, gap="nothing was forgotten in them")


def _share(after: Floats, before: Floats, target: Floats) -> Floats:
    """What came back, as a share of what was forgotten; NaN where that is nothing."""
    forgotten = target - before
    share = np.full_like(forgotten, np.nan)
    np.divide(after - before, forgotten, out=share, where=forgotten != 0)
    return share
