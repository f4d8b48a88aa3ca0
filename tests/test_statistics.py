"""Intervals and tests: by hand, against scipy, against the truth of simulated data."""

import math

import numpy as np
import pytest
from scipy import stats
from small_records import texts

from qunlearn.evaluate import definitions
from qunlearn.evaluate.formulas import comparisons
from qunlearn.statistics.inference import Estimate, effect_dz, estimate, holm, too_few
from qunlearn.statistics.items import (
    RESAMPLES,
    Floats,
    Statistic,
    combine,
    crossed,
    difference,
    item_draws,
    mean,
)

ONE_SEED = "one seed: the interval is over items alone"


def scores(values: Floats) -> Statistic:
    return mean(range(len(values)), list(values))


def nll(sums: list[float], tokens: list[float]) -> Statistic:
    rows = zip(sums, tokens, strict=True)
    return definitions.likelihood(
        [{"id": i, "split": "forget", "nll_sum": a, "tokens": b} for i, (a, b) in enumerate(rows)],
        "forget",
    )


def membership(forget: Floats, holdout: Floats) -> Statistic:
    return definitions.membership(texts(forget, holdout))


def interval(*by_seed: Statistic) -> tuple[float, float]:
    known = estimate(by_seed)
    return known.low, known.high


def of_table(table: Floats) -> Estimate:
    """What is known of the mean of [seeds, items] differences."""
    return estimate([scores(row) for row in table])


def noisy(rng: np.random.Generator, seeds: int, items: int, *spread: float) -> Floats:
    """[seeds, items] of mean 0: effects of seeds, of items and of chance with these spreads."""
    shapes = ((seeds, 1), (1, items), (seeds, items))
    first, second, third = (rng.normal(0, *each) for each in zip(spread, shapes, strict=True))
    return np.asarray(first + second + third)


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
        table = noisy(rng, 10, 30, 1.0, 3.0, 1.0)
        low, high = interval(*map(scores, table))
        covered += low <= 0.0 <= high
        half = 1.96 * table.std() / np.sqrt(table.size)  # as if 300 items had been asked
        nested += abs(table.mean()) <= half
    assert 0.90 <= covered / 300 <= 0.99
    assert nested / 300 < 0.6


def test_seeds_are_drawn_too_and_apart_from_items() -> None:
    """Two seeds that do not vary over items: half of the draws pick either one twice."""
    draws = crossed([np.full(RESAMPLES, 0.0), np.full(RESAMPLES, 10.0)])
    found, counts = np.unique(draws, return_counts=True)
    assert found.tolist() == [0, 5, 10]
    assert counts / RESAMPLES == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    # As many seeds as items: their variances add up. More seeds are no more items.
    effects = np.random.default_rng(10).normal(size=12)
    draws = crossed([item_draws(scores(effects + seed)) for seed in effects])
    assert draws.var() == pytest.approx(2 * effects.var() / 12, rel=0.1)
    assert interval(*[scores(effects)] * 3) == pytest.approx(interval(scores(effects)))


def test_draws_without_a_number_are_dropped_and_counted() -> None:
    gap = np.where(np.arange(RESAMPLES) % 2, np.nan, 2.0)  # a seed spoils the draws that pick it
    draws = crossed([np.full(RESAMPLES, 1.0), gap])
    assert np.isnan(draws).mean() == pytest.approx(0.75 / 2, abs=0.02)
    assert set(draws[~np.isnan(draws)]) == {1.0, 1.5, 2.0}
    items = scores(np.arange(12.0))
    ratio = combine([items], lambda x: np.where(x < 5.5, np.nan, x), "flat", "below the middle")
    known = estimate([ratio])
    assert known.low >= 5.5
    assert known.dropped == np.sum(item_draws(items) < 5.5) > RESAMPLES / 3
    said = f"{known.dropped} of {RESAMPLES} draws dropped: below the middle"
    assert known.limits == (ONE_SEED, said)


@pytest.mark.parametrize(
    ("by_seed", "limits"),
    [
        ([np.arange(12.0)], (ONE_SEED,)),
        ([np.arange(12.0)] * 2, ()),
        ([np.full(12, 0.1)] * 2, ("all scores equal",)),
        ([np.zeros(12), np.ones(12)], ()),
        ([np.zeros(1)], (ONE_SEED, "all scores equal", "n < 10")),
    ],
)
def test_what_limits_an_interval_is_said(by_seed: list[Floats], limits: tuple[str, ...]) -> None:
    assert estimate([scores(values) for values in by_seed]).limits == limits
    assert "n < 10" in estimate([membership(np.arange(50.0), np.arange(9.0))]).limits


def test_the_items_of_one_run_have_the_error_and_the_p_of_a_paired_t_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1.0, size=20)
    found = of_table(values[None])
    ((error, freedom),) = found.errors
    assert too_few(found.seeds) == "one seed"
    assert (error, freedom) == (pytest.approx(stats.sem(values), rel=0.03), 19)
    assert found.p() == pytest.approx(stats.ttest_1samp(values, 0).pvalue, rel=0.1)


def test_seeds_and_items_by_hand() -> None:
    """Per-seed differences 1, 2 and 6, the items of each seed +-1 around it."""
    found = of_table(np.array([[0.0, 2.0], [1.0, 3.0], [5.0, 7.0]]))
    (by_seeds, two), (both, freedom) = found.errors
    seeds, items = 7 / 3, 1.0  # 14 / 2 over 3; (1 + 1) / 1 over 2
    assert (found.value, found.seeds, too_few(3)) == (3.0, 3, "")
    assert (by_seeds, two) == (pytest.approx(math.sqrt(seeds)), 2)
    assert both == pytest.approx(math.sqrt(seeds + items), rel=0.02)
    assert freedom == pytest.approx((seeds + items) ** 2 / (items**2 / 1 + seeds**2 / 2), rel=0.02)
    ts = [(3 / math.sqrt(seeds), 2), (3 / math.sqrt(seeds + items), freedom)]
    assert found.p() == pytest.approx(max(2 * stats.t.sf(*t) for t in ts), rel=0.05)


def test_a_difference_that_seeds_turn_round_is_none_however_many_items_show_it() -> None:
    """One run is sure of 10 points on 64 items; two others of -8 and of 1."""
    noise = np.random.default_rng(2).normal(0, 3, size=(3, 64))
    table = np.array([[10.0], [-8.0], [1.0]]) + noise
    assert stats.ttest_1samp(table[0], 0).pvalue < 1e-20
    assert (of_table(table).p() or 0) > 0.5
    agreed = 30 + np.random.default_rng(3).normal(0, 8, size=(3, 32))
    assert (of_table(agreed).p() or 1) < 0.01


@pytest.mark.parametrize(
    "spread", [(1, 1, 1), (3, 1, 0.5), (0.3, 1, 0.3), (0, 1, 0.05), (0.1, 0, 1)]
)
def test_where_only_runs_and_items_differ_few_p_are_small(spread: tuple[float, ...]) -> None:
    """Three seeds of 32 items, and no true difference.

    Clark's min F' alone has p < 0.005 in 2.5 % of the first kind.
    """
    rng = np.random.default_rng(4)
    p = np.array([of_table(noisy(rng, 3, 32, *spread)).p() for _ in range(400)], np.float64)
    assert np.mean(p <= 0.05) <= 0.07
    assert np.mean(p <= 0.005) <= 0.0125


def test_where_nothing_varies_there_is_no_p_but_of_no_difference() -> None:
    same = of_table(np.zeros((3, 8)))
    assert (same.p(), same.p("greater"), same.minimum_effect()) == (1.0, 1.0, None)
    shifted = of_table(np.full((3, 8), 10.0))
    assert (shifted.p(), shifted.minimum_effect()) == (None, None)
    first, second = nll([0.3, 0.6, 0.9], [3, 6, 9]), nll([0.6, 1.2, 1.8], [3, 6, 9])
    assert estimate([difference(first, second)]).minimum_effect() is None  # rounding is no spread
    one_item = of_table(np.array([[1.0], [2.0], [4.0]]))
    assert (one_item.p(), of_table(np.ones((1, 1))).minimum_effect()) == (None, None)


def test_a_minimum_effect_is_found_in_four_of_five_experiments() -> None:
    rng = np.random.default_rng(6)
    exact = (2.023 + 0.851) * 2.0 / np.sqrt(40)
    truth = of_table(rng.normal(0.0, 2.0, size=(1, 40))).minimum_effect()
    assert truth == pytest.approx(exact, rel=0.25)
    found = [(of_table(rng.normal(exact, 2.0, size=(1, 40))).p() or 0) <= 0.05 for _ in range(300)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)


def test_an_auc_has_the_bootstraps_error() -> None:
    rng = np.random.default_rng(8)
    first = membership(rng.normal(size=30), rng.normal(1.0, size=20))
    compared = difference(first, second := membership(rng.normal(size=30), rng.normal(size=20)))
    ((error, freedom),) = estimate([compared]).errors
    assert error == pytest.approx(item_draws(compared).std() * math.sqrt(20 / 19))
    assert (freedom, effect_dz([(first, second)])) == (19, None)


def test_cohens_d_by_hand() -> None:
    first, zero = scores(np.array([1.0, 2.0, 3.0, 6.0])), scores(np.zeros(4))
    assert effect_dz([(first, zero)]) == pytest.approx(3 / (14 / 3) ** 0.5)  # 4, 1, 0, 9 over n - 1
    seeds = [scores(np.array([1.0, 0.0, 3.0, 0.0])), scores(np.array([1.0, 4.0, 3.0, 12.0]))]
    assert effect_dz([(each, zero) for each in seeds]) == effect_dz([(first, zero)])
    for flat in (np.zeros(4), np.full(4, 0.3), np.ones(1)):
        assert effect_dz([(scores(flat), scores(0 * flat))]) is None


@pytest.mark.parametrize(
    ("raw", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([], []),
    ],
)
def test_holm_by_hand(raw: list[float], corrected: list[float]) -> None:
    assert holm(raw) == pytest.approx(corrected)
