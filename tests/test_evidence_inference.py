"""The test of a difference: by hand, against scipy, and where nothing but runs and items differ."""

import math

import numpy as np
import pytest
from scipy import stats
from test_evidence_bootstrap import membership, nll, scores

from qunlearn.statistics.bootstrap import item_draws
from qunlearn.statistics.inference import Estimate, Side, effect_dz, estimate, holm, too_few
from qunlearn.statistics.items import Floats, Statistic, difference

ZERO = scores(np.zeros(4))


def of_table(table: Floats) -> Estimate:
    """What is known of the mean of [seeds, items] differences."""
    return estimate([scores(row) for row in table])


def test_the_items_of_one_run_have_the_error_and_the_p_of_a_paired_t_test() -> None:
    values = np.random.default_rng(0).normal(0.4, 1.0, size=20)
    found = of_table(values[None])
    ((error, freedom),) = found.errors
    assert too_few(found.seeds) == "one seed"
    assert error == pytest.approx(stats.sem(values), rel=0.03)
    assert freedom == 19
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


@pytest.mark.parametrize(("side", "value"), [("greater", 0.5), ("less", -0.5)])
def test_one_side_has_half_of_the_p(side: Side, value: float) -> None:
    table = value + np.random.default_rng(1).normal(0, 0.5, size=(4, 12))
    found, opposite = of_table(table), "less" if side == "greater" else "greater"
    both = found.p()
    assert both is not None and both < 0.2
    assert found.p(side) == pytest.approx(both / 2)
    assert found.p(opposite) == pytest.approx(1 - both / 2, abs=0.1)  # type: ignore[arg-type]


def test_a_difference_that_seeds_turn_round_is_none_however_many_items_show_it() -> None:
    """One run is sure of 10 points on 64 items; two others of -8 and of 1."""
    noise = np.random.default_rng(2).normal(0, 3, size=(3, 64))
    table = np.array([[10.0], [-8.0], [1.0]]) + noise
    assert stats.ttest_1samp(table[0], 0).pvalue < 1e-20
    assert (of_table(table).p() or 0) > 0.5
    agreed = 30 + np.random.default_rng(3).normal(0, 8, size=(3, 32))
    assert (of_table(agreed).p() or 1) < 0.01


@pytest.mark.parametrize(
    ("seeds", "items", "chance"), [(1, 1, 1), (3, 1, 0.5), (0.3, 1, 0.3), (0, 1, 0.05), (0.1, 0, 1)]
)
def test_where_only_runs_and_items_differ_few_p_are_small(
    seeds: float, items: float, chance: float
) -> None:
    """Three seeds of 32 items, effects of these standard deviations, and no true difference.

    Clark's min F' alone has p < 0.005 in 2.5 % of the first kind.
    """
    rng = np.random.default_rng(4)
    found = [
        of_table(
            rng.normal(0, seeds, size=(3, 1))
            + rng.normal(0, items, size=(1, 32))
            + rng.normal(0, chance, size=(3, 32))
        ).p()
        for _ in range(400)
    ]
    p = np.array(found, np.float64)
    assert np.mean(p <= 0.05) <= 0.07
    assert np.mean(p <= 0.005) <= 0.0125


def test_privleak_s_kind_of_metric_is_tested_over_texts_and_seeds_too() -> None:
    """AUCs of models that rank texts alike by chance, each run with a shift of its own."""
    rng = np.random.default_rng(5)

    def auc(texts: tuple[Floats, Floats]) -> Statistic:
        own = rng.normal(0, 0.5)
        forget, holdout = (each + rng.normal(size=each.size) for each in texts)
        return membership(forget + own, holdout)

    small = 0
    for _ in range(150):
        texts = rng.normal(size=24), rng.normal(0.5, size=24)
        found = estimate([difference(auc(texts), auc(texts)) for _ in range(3)])
        assert found.errors[1][1] > 2  # its items count by the smaller group
        small += (found.p() or 0) <= 0.05
    assert small / 150 <= 0.08


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
    truth = of_table(rng.normal(0.0, 2.0, size=(1, 40))).minimum_effect()
    assert truth is not None
    assert truth == pytest.approx((2.023 + 0.851) * 2.0 / np.sqrt(40), rel=0.25)
    exact = (2.023 + 0.851) * 2.0 / np.sqrt(40)
    found = [(of_table(rng.normal(exact, 2.0, size=(1, 40))).p() or 0) <= 0.05 for _ in range(300)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)


def test_an_auc_has_the_bootstraps_error() -> None:
    rng = np.random.default_rng(8)
    first = membership(rng.normal(size=30), rng.normal(1.0, size=20))
    second = membership(rng.normal(size=30), rng.normal(size=20))
    compared = difference(first, second)
    ((error, freedom),) = estimate([compared]).errors
    assert error == pytest.approx(item_draws(compared).std() * math.sqrt(20 / 19))
    assert freedom == 19
    assert effect_dz([(first, second)]) is None


def test_cohens_d_by_hand() -> None:
    first = scores(np.array([1.0, 2.0, 3.0, 6.0]))
    assert effect_dz([(first, ZERO)]) == pytest.approx(3 / (14 / 3) ** 0.5)  # 4, 1, 0, 9 over n - 1
    seeds = [scores(np.array([1.0, 0.0, 3.0, 0.0])), scores(np.array([1.0, 4.0, 3.0, 12.0]))]
    assert effect_dz([(each, ZERO) for each in seeds]) == effect_dz([(first, ZERO)])
    for flat in (np.zeros(4), np.full(4, 0.3), np.ones(1)):
        assert effect_dz([(scores(flat), scores(0 * flat))]) is None


@pytest.mark.parametrize(
    ("raw", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.6, 0.9], [1.0, 1.0]),
        ([0.3], [0.3]),
        ([], []),
    ],
)
def test_holm_by_hand(raw: list[float], corrected: list[float]) -> None:
    assert holm(raw) == pytest.approx(corrected)
