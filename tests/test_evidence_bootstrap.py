"""Intervals: against their normal limits, against scipy, against the truth of simulated data."""

import numpy as np
import pytest
from scipy import stats

from qunlearn.evaluate.definitions import likelihood
from qunlearn.evaluate.definitions import membership as membership_of
from qunlearn.evaluate.formulas import comparisons
from qunlearn.statistics.bootstrap import RESAMPLES, crossed, item_draws
from qunlearn.statistics.inference import estimate
from qunlearn.statistics.items import Floats, Statistic, combine, mean

ONE_SEED = "one seed: the interval is over items alone"


def scores(values: Floats) -> Statistic:
    return mean(range(len(values)), list(values))


def nll(sums: list[float], tokens: list[float]) -> Statistic:
    rows = zip(sums, tokens, strict=True)
    return likelihood(
        [{"id": i, "split": "forget", "nll_sum": a, "tokens": b} for i, (a, b) in enumerate(rows)],
        "forget",
    )


def membership(forget: Floats, holdout: Floats) -> Statistic:
    return membership_of(
        [
            {"id": f"{split}/{i}", "split": split, "min_k": score}
            for split, values in (("forget", forget), ("holdout", holdout))
            for i, score in enumerate(values)
        ]
    )


def interval(*by_seed: Statistic) -> tuple[float, float]:
    known = estimate(by_seed)
    return known.low, known.high


def width(*by_seed: Statistic) -> float:
    low, high = interval(*by_seed)
    return high - low


def test_the_interval_of_a_mean_is_scipys() -> None:
    values = np.random.default_rng(4).exponential(5.0, size=40)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(5)
    ).confidence_interval
    assert interval(scores(values)) == pytest.approx((theirs.low, theirs.high), abs=0.1)
    assert interval(scores(values)) == interval(scores(values))  # the same each time


def test_the_interval_of_a_ratio() -> None:
    assert interval(nll([2, 4, 6], [1, 2, 3])) == pytest.approx((2, 2))  # the same in every text
    assert interval(nll([1, 30], [1, 10])) == (1, 3)  # by tokens: one text alone at either end


def test_the_interval_of_an_auc_equals_one_by_drawing_texts() -> None:
    rng = np.random.default_rng(4)
    forget, holdout = rng.normal(0.0, 1.0, 40).round(1), rng.normal(0.5, 1.0, 30).round(1)
    drawn = [
        comparisons(list(rng.choice(forget, 40)), list(rng.choice(holdout, 30))).mean()
        for _ in range(4000)
    ]
    expected = np.percentile(drawn, [2.5, 97.5])
    assert interval(membership(forget, holdout)) == pytest.approx(expected, abs=0.015)


def test_crossed_intervals_cover_where_those_of_items_nested_in_seeds_do_not() -> None:
    """Ten seeds that answer the same 30 items: seeds, items and chance all add to the doubt."""
    rng = np.random.default_rng(8)
    covered = nested = 0
    for _ in range(300):
        table = (
            rng.normal(0, 1.0, size=(10, 1))
            + rng.normal(0, 3.0, size=(1, 30))
            + rng.normal(0, 1.0, size=(10, 30))
        )
        low, high = interval(*map(scores, table))
        covered += low <= 0.0 <= high
        half = 1.96 * table.std() / np.sqrt(table.size)  # as if 300 items had been asked
        nested += abs(table.mean()) <= half
    assert 0.90 <= covered / 300 <= 0.99
    assert nested / 300 < 0.6


def test_seeds_are_drawn_too() -> None:
    """Two seeds that do not vary over items: half of the draws pick either one twice."""
    draws = crossed([np.full(RESAMPLES, 0.0), np.full(RESAMPLES, 10.0)])
    found, counts = np.unique(draws, return_counts=True)
    assert found.tolist() == [0, 5, 10]
    assert counts / RESAMPLES == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    low, high = interval(scores(np.zeros(12)), scores(np.full(12, 10.0)))
    assert (low, high) == pytest.approx((0, 10))


def test_seeds_and_items_are_drawn_apart() -> None:
    """Even where there are as many of the one as of the other: their variances add up.

    More seeds are no more items.
    """
    effects = np.random.default_rng(10).normal(size=12)
    draws = crossed([item_draws(scores(effects + seed)) for seed in effects])
    assert draws.var() == pytest.approx(2 * effects.var() / 12, rel=0.1)
    assert interval(*[scores(effects)] * 3) == pytest.approx(interval(scores(effects)))


def test_a_seed_without_a_number_spoils_only_the_draws_that_pick_it() -> None:
    gap = np.where(np.arange(RESAMPLES) % 2, np.nan, 2.0)
    draws = crossed([np.full(RESAMPLES, 1.0), gap])
    assert np.isnan(draws).mean() == pytest.approx(0.75 / 2, abs=0.02)
    assert set(draws[~np.isnan(draws)]) == {1.0, 1.5, 2.0}


def test_draws_without_a_number_are_dropped_and_counted() -> None:
    items = scores(np.arange(12.0))
    ratio = combine(
        [items], lambda draws: np.where(draws < 5.5, np.nan, draws), "flat", "below the middle"
    )
    known = estimate([ratio])
    assert known.low >= 5.5
    assert known.dropped == np.sum(item_draws(items) < 5.5) > RESAMPLES / 3
    assert known.limits == (
        ONE_SEED,
        f"{known.dropped} of {RESAMPLES} draws dropped: below the middle",
    )


@pytest.mark.parametrize(
    ("by_seed", "limits"),
    [
        ([np.arange(12.0)], (ONE_SEED,)),
        ([np.arange(12.0)] * 2, ()),
        ([np.arange(9.0)] * 2, ("n < 10",)),
        ([np.full(12, 0.1)], (ONE_SEED, "all scores equal")),
        ([np.full(12, 0.1)] * 2, ("all scores equal",)),
        ([np.zeros(12), np.ones(12)], ()),
        ([np.zeros(1)], (ONE_SEED, "all scores equal", "n < 10")),
    ],
)
def test_what_limits_an_interval_is_said(by_seed: list[Floats], limits: tuple[str, ...]) -> None:
    assert estimate([scores(values) for values in by_seed]).limits == limits
    assert "n < 10" in estimate([membership(np.arange(50.0), np.arange(9.0))]).limits
