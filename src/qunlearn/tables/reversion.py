"""Reversion: how much of its forgetting a model loses when it is quantized.

    reversion of m = (m_q - m_bf16) / (m_target,q - m_bf16)

0: forgetting survived as it was; 1: the model is back at the target, quantized to the same
precision; below 0: quantization makes it forget more. The denominator is what was forgotten, seen
through the quantizer's own damage.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qunlearn.errors import InputError
from qunlearn.evaluate import intervals, records
from qunlearn.evaluate.metrics import auc
from qunlearn.evaluate.scoring import METRICS as SCORES
from qunlearn.files import read_json
from qunlearn.tables.metrics import DIVERGED, REFERENCES, UNDEFINED, Cell, Score

BEFORE = "bf16"  # the precision in which forgetting is taken to be whole


@dataclass(frozen=True)
class Sample:
    """A metric of one model: its value, and what it is in each bootstrap draw of the items.

    Attributes:
        value: on all items.
        draws: [resamples]; the same items in the same draw for every model.
        ids: the items; reversion compares models on the same ones.
    """

    value: float
    draws: NDArray[np.float64]
    ids: list[Any]


@dataclass(frozen=True)
class _Metric:
    """Which records a metric is made of, how, and which way forgetting moves it."""

    file: str
    sample: Callable[[list[records.Record]], Sample]
    rises: bool  # with forgetting


def reversions(evaluations: Path, cells: Sequence[str], experiment: str) -> list[Score]:
    """A row a forget metric for each unlearned model of `cells`, in their order.

    The interval is a paired bootstrap over the items: the three models are asked the same ones.
    Where the 95 % interval of what was forgotten includes 0, the model cannot be told from the
    target and the reversion is `undefined`.

    Raises:
        InputError: the records of a model, of it in bf16 or of the target in its precision are
            missing, broken, or of other items.
    """
    scores = []
    for name in cells:
        cell = Cell.parse(name)
        if cell.objective in REFERENCES:
            continue
        model = evaluations / name
        before = model.parent / BEFORE
        target = evaluations / cell.corpus / "target" / cell.precision
        for metric, definition in FORGET_METRICS.items():
            row = f"reversion_{metric}"
            if any(_diverged(folder) for folder in (model, before, target)):
                scores.append(Score.missing(experiment, cell, row, DIVERGED))
                continue
            samples = [_read(folder, definition) for folder in (model, before, target)]
            if len({tuple(sample.ids) for sample in samples}) > 1:
                raise InputError(
                    f"cell '{name}': {definition.file} is not of the same items as in "
                    f"{before} and {target}; evaluate all three again"
                )
            scores.append(_score(experiment, cell, row, samples, definition.rises))
    return scores


def _score(experiment: str, cell: Cell, row: str, samples: list[Sample], rises: bool) -> Score:
    after, before, target = samples
    sign = 1.0 if rises else -1.0
    forgotten, _ = intervals.percentiles(sign * (before.draws - target.draws))
    if forgotten <= 0:
        return Score.missing(experiment, cell, row, UNDEFINED)
    value = (after.value - before.value) / (target.value - before.value)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (after.draws - before.draws) / (target.draws - before.draws)
    # A draw may have left nothing that was forgotten; it has no ratio, and few have none.
    low, high = intervals.percentiles(ratios[np.isfinite(ratios)])
    n = len(after.ids)
    return Score(experiment, cell, row, round(value, 6), round(low, 6), round(high, 6), n)


def _read(folder: Path, metric: _Metric) -> Sample:
    return metric.sample(records.read(folder / metric.file, metric.file))


def _diverged(folder: Path) -> bool:
    status: str = read_json(folder / SCORES)["status"]
    return status == DIVERGED


def _mean_score(items: list[records.Record]) -> Sample:
    values = [100.0 * item["rougeL"] for item in items]
    return Sample(fmean(values), intervals.mean_draws(values), [item["id"] for item in items])


def _membership(items: list[records.Record]) -> Sample:
    """The AUC: PrivLeak is linear in it, with the same constants for all models of a corpus."""
    kept = [item for item in items if item["split"] in ("forget", "holdout")]
    forget, holdout = (records.of_split(kept, split, "min_k") for split in ("forget", "holdout"))
    draws = intervals.auc_draws(forget, holdout)
    return Sample(auc(forget, holdout), draws, [item["id"] for item in kept])


def _forget_nll(items: list[records.Record]) -> Sample:
    sums = records.of_split(items, "forget", "nll_sum")
    tokens = records.of_split(items, "forget", "tokens")
    draws = intervals.ratio_draws(sums, tokens)
    return Sample(sum(sums) / sum(tokens), draws, records.of_split(items, "forget", "id"))


FORGET_METRICS = {
    "verbmem": _Metric(records.VERBMEM, _mean_score, rises=False),
    "knowmem": _Metric(records.KNOWMEM_FORGET, _mean_score, rises=False),
    "privleak": _Metric(records.PRIVLEAK, _membership, rises=True),
    "nll_forget": _Metric(records.PRIVLEAK, _forget_nll, rises=True),
}
