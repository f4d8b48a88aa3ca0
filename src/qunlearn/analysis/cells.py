"""The evaluated cells of an experiment: the statistic that each metric of each of them is.

Reversion is how much of its forgetting a model loses when it is quantized:

    reversion of m = (m_q - m_bf16) / (m_target,q - m_bf16)

0: forgetting survived as it was; 1: the model is back at the target, quantized to the same
precision; below 0: quantization makes it forget more. The denominator is what was forgotten, seen
through the quantizer's own damage. Where its 95 % interval includes 0, the model is
indistinguishable from the target and the reversion is `undefined`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from qunlearn.evaluate import records
from qunlearn.evaluate.definitions import DEFINITIONS
from qunlearn.evaluate.scoring import FILE
from qunlearn.experiment.names import BEFORE, DIVERGED, METRICS, REFERENCES, UNDEFINED, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.statistics import items
from qunlearn.statistics.items import Floats, Statistic

FORGET_METRICS = {"verbmem": 1, "knowmem": 1, "privleak": -1, "nll_forget": -1}
"""Metric of forgetting -> the sign of a change towards the target."""
REVERSIONS = tuple(f"reversion_{metric}" for metric in FORGET_METRICS)


class Evaluations:
    """The records below a folder, each read once.

    Attributes:
        cells: the cells by name, in their order.
        variants: each cell without its seed -> the names of its cells by seed, in that order.
    """

    def __init__(self, folder: Path, cells: Sequence[str]) -> None:
        """Take `cells` from below `folder`; an InputError where one is misnamed."""
        self.cells = {name: Cell.parse(name) for name in cells}
        self.variants: dict[Cell, dict[int | None, str]] = {}
        for name, cell in self.cells.items():
            self.variants.setdefault(replace(cell, seed=None), {})[cell.seed] = name
        self._own_references = {(x.corpus, x.objective, x.seed) for x in self.cells.values()}
        self._read = cache(lambda name, file: records.read(folder / name / file, file, empty=True))
        self._measured = cache(self._measured_of)
        self._status = cache(lambda name: read_json(folder / name / FILE)["status"])

    def reference(self, cell: Cell, model: str, precision: str) -> str:
        """The cell of target or retrain (`model`) that `cell` belongs to: of its seed if any is."""
        own = cell.seed is not None and (cell.corpus, model, cell.seed) in self._own_references
        return f"{cell.corpus}/{model}/{f'seed{cell.seed}/' if own else ''}{precision}"

    def metrics_of(self, cell: Cell) -> tuple[str, ...]:
        """What a cell has numbers of: what any model of its corpus was scored on, and reversions.

        A corpus without questions, or without holdout texts, has fewer metrics than others.
        """
        found = self._measured(cell.corpus)
        reversions = tuple(f"reversion_{metric}" for metric in FORGET_METRICS if metric in found)
        return found if cell.objective in REFERENCES else found + reversions

    def statistics(
        self, names: Iterable[str], metric: str
    ) -> tuple[dict[str, Statistic], list[str]]:
        """A metric or reversion of cells, and the words for why the others have none.

        Raises:
            InputError: a cell, or what its PrivLeak or reversion refers to, was not evaluated, is
                broken, or is of other items, or retrain's AUC is 0.
        """
        known: dict[str, Statistic] = {}
        words = []
        for name in dict.fromkeys(names):
            own = self._score(name, metric) if metric in METRICS else self._reversion(name, metric)
            if isinstance(own, str):
                words.append(own)
                continue
            known[name] = own
            if own.ids != known[first := next(iter(known))].ids:
                raise _other_items(name, metric.removeprefix("reversion_"), first)
        return known, words

    def _measured_of(self, corpus: str) -> tuple[str, ...]:
        finite = [
            name
            for name, cell in self.cells.items()
            if cell.corpus == corpus and self._status(name) != DIVERGED
        ]
        return tuple(
            metric
            for metric, definition in DEFINITIONS.items()
            if not finite
            or any(definition.possible(self._read(name, definition.file)) for name in finite)
        )

    def _score(self, name: str, metric: str) -> Statistic | str:
        if self._status(name) == DIVERGED:
            return DIVERGED
        definition = DEFINITIONS[metric]
        own = self._read(name, definition.file)
        if not definition.possible(own):
            raise InputError(
                f"cell '{name}': {definition.file} has no records for {metric}, which others have; "
                "evaluate the model again"
            )
        return definition.build(own, lambda: self._retrain(name, own))

    def _retrain(self, name: str, own: list[records.Record]) -> list[records.Record]:
        reference = self.reference(Cell.parse(name), "retrain", BEFORE)
        texts: list[records.Record] = self._read(reference, records.PRIVLEAK)
        if [text["id"] for text in texts] != [text["id"] for text in own]:
            raise _other_items(name, "privleak", reference)
        return texts

    def _reversion(self, name: str, metric: str) -> Statistic | str:
        forgetting, cell = metric.removeprefix("reversion_"), self.cells[name]
        models = (
            name,
            f"{cell.corpus}/{cell.model}/{BEFORE}",
            self.reference(cell, "target", cell.precision),
        )
        # PrivLeak is linear in the AUC, with the same constants for all models of a corpus.
        scored = "auc" if forgetting == "privleak" else forgetting
        parts, words = self.statistics(models, scored)
        if words:
            return DIVERGED
        a, b, target = (parts[model] for model in models)
        sign = FORGET_METRICS[forgetting]
        forgotten, _ = items.percentiles(sign * items.item_draws(items.difference(target, b)))
        if forgotten <= 0:
            return UNDEFINED
        flat = "0 by definition" if a is b else "the same whichever items are drawn"
        return items.combine((a, b, target), _share, flat, gap="nothing was forgotten in them")


def _other_items(name: str, metric: str, first: str) -> InputError:
    file = DEFINITIONS[metric].file
    return InputError(
        f"cell '{name}': {file} is not of the same items as in {first}; evaluate both again"
    )


def _share(after: Floats, before: Floats, target: Floats) -> Floats:
    """What came back, as a share of what was forgotten; NaN where that is nothing."""
    forgotten = target - before
    nothing = np.full_like(forgotten, np.nan)
    return np.asarray(np.divide(after - before, forgotten, out=nothing, where=forgotten != 0))
