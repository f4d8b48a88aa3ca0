"""Permutation tests: exact by hand, against scipy, and under a true hypothesis; Holm by hand."""

import numpy as np
import pytest
from scipy import stats
from test_evidence_bootstrap import membership, nll, scores

from qunlearn.evidence.items import Floats, privleak
from qunlearn.evidence.permutation import DRAWS, SMALLEST, Side, holm, paired_p, swap_weights


def p_of(differences: list[float] | Floats, side: Side = "two-sided") -> float:
    """Of paired means with these differences; the level of both models does not matter."""
    level = np.linspace(20.0, 50.0, len(differences))
    return paired_p([scores(level + differences)], [scores(level)], side)


@pytest.mark.parametrize(
    ("differences", "side", "p"),
    [
        ([1, 2, 3], "two-sided", 2 / 8),  # 6 and -6
        ([1, 2, 3], "greater", 1 / 8),
        ([1, 2, 3], "less", 1.0),
        ([-1, -2, -3], "less", 1 / 8),
        ([3, -1, 1], "two-sided", 6 / 8),  # 5, 3, 3, 1 and their opposites, at least 3 away from 0
        ([0, 0, 0, 0], "two-sided", 1.0),
        ([0, 0, 0, 5], "two-sided", 1.0),
        ([0.1] * 5, "two-sided", 2 / 32),
        ([4.0], "two-sided", 1.0),
    ],
)
def test_small_cases_by_hand(differences: list[float], side: Side, p: float) -> None:
    assert p_of(differences, side) == pytest.approx(p)


@pytest.mark.parametrize("side", ["two-sided", "greater", "less"])
def test_exact_p_is_scipys(side: Side) -> None:
    values = np.random.default_rng(0).normal(0.5, 1.0, size=11)
    theirs = stats.permutation_test(
        (values,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        alternative=side,
        vectorized=True,
    )
    assert p_of(values, side) == pytest.approx(theirs.pvalue)


def test_drawn_p_is_near_the_exact_one() -> None:
    values = np.random.default_rng(1).normal(0.3, 1.0, size=16)
    theirs = stats.permutation_test(
        (values,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        n_resamples=2**16,
        vectorized=True,
    )
    assert 0.01 < theirs.pvalue < 0.2
    assert p_of(values) == pytest.approx(theirs.pvalue, abs=0.01)
    assert p_of(values) == p_of(values)


def test_all_swaps_are_made_where_they_are_few_and_the_first_swaps_nothing() -> None:
    (few,) = swap_weights((13,))
    assert len(few) == 2**13 == len(np.unique(few, axis=0))
    (many,) = swap_weights((14,))
    assert len(many) == DRAWS + 1
    for weights in (few, many, *swap_weights((20, 30))):
        half = weights.shape[1] // 2
        assert (weights[0, :half] == 1 / half).all() and (weights[0, half:] == 0).all()
        assert weights.sum(axis=1) == pytest.approx(1.0)
    assert p_of(np.full(40, 3.0)) == SMALLEST == 1 / 10_001


def test_p_is_uniform_where_models_do_alike() -> None:
    rng = np.random.default_rng(2)
    found = np.array([p_of(rng.normal(size=12)) for _ in range(400)])
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert np.mean(found <= 0.05) == pytest.approx(0.05, abs=0.03)


def test_p_of_an_auc_is_uniform_where_models_rank_alike_by_chance() -> None:
    """Scores on quite different scales, and retrain's AUC beside them."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(300):
        forget, holdout = rng.normal(size=6), rng.normal(0.5, size=6)
        first = membership(forget + rng.normal(size=6), holdout + rng.normal(size=6))
        second = membership(
            20 + 9 * (forget + rng.normal(size=6)), 20 + 9 * (holdout + rng.normal(size=6))
        )
        found.append(paired_p([first], [second]))
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.035)
    assert np.mean(np.array(found) <= 0.5) == pytest.approx(0.5, abs=0.1)


def test_a_paired_test_finds_what_an_unpaired_one_does_not() -> None:
    rng = np.random.default_rng(4)
    items = rng.normal(0.0, 10.0, size=30)
    first, second = items + rng.normal(1.0, 1.0, size=30), items
    assert paired_p([scores(first)], [scores(second)]) < 0.001
    assert stats.ttest_ind(first, second).pvalue > 0.5


def test_a_ratio_is_computed_again_from_what_was_swapped() -> None:
    """Two texts of 1 and 9 tokens: the longer one counts more than in a mean of two NLLs."""
    first, second = nll([5, 9], [1, 9]), nll([1, 18], [1, 9])
    # 1.4 - 1.9 = -0.5; the other swaps give 1.0 - 2.3 = -1.3, and 1.3 and 0.5
    assert paired_p([first], [second]) == 1.0
    assert paired_p([first], [second], "less") == 2 / 4


def test_privleak_has_the_p_of_its_auc() -> None:
    rng = np.random.default_rng(5)

    def texts(forget: Floats, holdout: Floats) -> list[dict[str, object]]:
        pairs = [("forget", x) for x in forget] + [("holdout", x) for x in holdout]
        return [{"id": i, "split": split, "min_k": x} for i, (split, x) in enumerate(pairs)]

    draws = [(rng.normal(size=15), rng.normal(shift, size=15)) for shift in (0.2, 0.8, 0.4)]
    first, second, retrain = (texts(*draw) for draw in draws)
    of_auc = paired_p([membership(*draws[0])], [membership(*draws[1])])
    assert 0.001 < of_auc < 0.9
    assert paired_p([privleak(first, retrain)], [privleak(second, retrain)]) == of_auc


def test_an_item_is_one_unit_in_all_seeds() -> None:
    values = np.random.default_rng(6).normal(0.6, 1.0, size=10)
    first, second = scores(values), scores(np.zeros(10))
    assert paired_p([first] * 3, [second] * 3) == paired_p([first], [second])
    opposite = scores(-values)
    assert paired_p([first, opposite], [second, second]) == 1.0


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
