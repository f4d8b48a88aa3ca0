"""Sums of numbers whose items and seeds are drawn together, from the records of an experiment."""

from collections.abc import Sequence
from statistics import fmean

import numpy as np

from qunlearn.evidence.bootstrap import crossed, item_draws, percentiles
from qunlearn.evidence.cells import Evaluations, Variant, check_same_items
from qunlearn.evidence.items import Floats, Items, Statistic, mean, value
from qunlearn.evidence.numbers import DETECTABLE, Term
from qunlearn.evidence.permutation import paired_p
from qunlearn.evidence.verdicts import Finding
from qunlearn.tables.reversion import reversion
from qunlearn.tables.summary import Key


class PairedSums:
    """Estimates sums of numbers; see `numbers.Evidence.paired`.

    The same items are drawn for every variant and precision, and the same seeds by their place, so
    that what a hard question does to all variants alike is no part of the interval.
    """

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations
        self._names = evaluations.variants()
        self._found: dict[Key, tuple[float, Floats, str, Statistic]] = {}

    def __call__(self, terms: Sequence[Term], absolute: bool) -> Finding:
        """The sum of `terms`, each with a number in at least one seed.

        Raises:
            InputError: the terms are not of the same items.
        """
        parts = [(term.sign, *self._number(term.key)) for term in terms]
        metric = terms[0].key.metric.removeprefix("reversion_")
        check_same_items(metric, [(name, items) for *_, name, items in parts])
        known = sum(sign * (abs(number) if absolute else number) for sign, number, *_ in parts)
        draws = np.sum(
            [sign * (abs(drawn) if absolute else drawn) for sign, _, drawn, *_ in parts], axis=0
        )
        low, high = percentiles(draws)
        effect = DETECTABLE * float(np.nanstd(draws)) or None
        p = None if absolute else self._p(terms)
        n = sum(parts[0][-1].sizes)
        return Finding(known, low, high, n, effect, p, corrected=p is None)

    def _p(self, terms: Sequence[Term]) -> float | None:
        """Of the sum being 0, by flipping the sign of each item's; None where items have none.

        Two models whose items are swapped in two precisions at once swap their changes: this is the
        test of one change against another (see `permutation`).
        """
        units: list[Floats] = []
        for sign, key in terms:
            found = list(self._statistics(key).values())
            own = [
                items.units(items.groups)
                for items in found
                if isinstance(items, Items) and items.units is not None
            ]
            if len(own) < len(found):
                return None
            units.append(sign * np.mean(own, axis=0))
        total = np.sum(units, axis=0)
        ids = range(len(total))
        return paired_p([mean(ids, list(total))], [mean(ids, [0.0] * len(total))])

    def _number(self, key: Key) -> tuple[float, Floats, str, Statistic]:
        """A metric's mean over its seeds, its draws, and one of its cells with its items."""
        if key not in self._found:
            statistics = self._statistics(key)
            known = fmean(value(statistic) for statistic in statistics.values())
            draws = crossed([item_draws(statistic) for statistic in statistics.values()])
            self._found[key] = known, draws, *next(iter(statistics.items()))
        return self._found[key]

    def _statistics(self, key: Key) -> dict[str, Statistic]:
        found: dict[str, Statistic] = {}
        for name in self._names[Variant(*key[:4])].values():
            metric = key.metric.removeprefix("reversion_")
            statistic: Statistic | str | None = (
                self._evaluations.items(name, metric)
                if metric == key.metric
                else reversion(self._evaluations, name, metric)
            )
            if statistic is not None and not isinstance(statistic, str):
                found[name] = statistic
        return found
