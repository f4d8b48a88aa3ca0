"""Sums of numbers whose items and seeds are drawn together, from the records of an experiment."""

from collections.abc import Sequence

from qunlearn.analysis.cells import Evaluations, Variant, check_same_items
from qunlearn.analysis.numbers import Term
from qunlearn.analysis.reversion import reversion
from qunlearn.analysis.summary import Key
from qunlearn.analysis.verdicts import Absent, Finding
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import doubt, too_few
from qunlearn.statistics.items import Combination, Floats, Statistic

NO_COMMON_SEED = "no seed has a number for all that is compared"


class PairedSums:
    """Estimates sums of numbers; see `numbers.Evidence.paired`.

    The sum is made within each seed, and the same items are drawn for every variant and precision:
    what a hard question or a lucky run does to all variants alike is no part of the interval.
    """

    def __init__(self, evaluations: Evaluations) -> None:
        self._evaluations = evaluations
        self._names = evaluations.variants()

    def __call__(self, terms: Sequence[Term], absolute: bool) -> Finding | Absent:
        """The sum of `terms`, of their distances from 0 where `absolute`.

        A sum of reversions has no p: it is compared with a margin and not with 0.

        Raises:
            InputError: the terms are not of the same items.
        """
        found = [self._statistics(term.key) for term in terms]
        metric = terms[0].key.metric.removeprefix("reversion_")
        check_same_items(metric, [named for each in found for named in each.values()])
        signs = [term.sign for term in terms]

        def total(*draws: Floats) -> Floats:
            parts = zip(signs, draws, strict=True)
            return sum((sign * (abs(x) if absolute else x) for sign, x in parts), 0.0 * draws[0])

        by_seed = [
            Combination(tuple(each[seed][1] for each in found), total, "the same for all items")
            for seed in found[0]
            if all(seed in each for each in found)
        ]
        if not by_seed:
            return Absent(NO_COMMON_SEED)
        known, doubted = estimate(by_seed), doubt(by_seed)
        tested = metric == terms[0].key.metric and not too_few(doubted.seeds)
        return Finding(
            known.value,
            known.low,
            known.high,
            sum(by_seed[0].sizes),
            doubted.minimum_effect(),
            doubted.seeds,
            doubted.p() if tested else None,
            corrected=False,
        )

    def _statistics(self, key: Key) -> dict[int | None, tuple[str, Statistic]]:
        """Of each seed that has a number, its cell's name and the number."""
        metric = key.metric.removeprefix("reversion_")
        found: dict[int | None, tuple[str, Statistic]] = {}
        for seed, name in self._names[Variant(*key[:4])].items():
            statistic: Statistic | str | None = (
                self._evaluations.items(name, metric)
                if metric == key.metric
                else reversion(self._evaluations, name, metric)
            )
            if statistic is not None and not isinstance(statistic, str):
                found[seed] = name, statistic
        return found
