"""Effect sizes by hand, and whether a minimum effect is found as often as it says."""

import numpy as np
import pytest
from test_evidence_bootstrap import membership, nll, scores

from qunlearn.evidence.bootstrap import item_draws
from qunlearn.evidence.items import difference
from qunlearn.evidence.permutation import paired_p
from qunlearn.evidence.power import effect_dz, minimum_effect, paired_units

ZERO = scores(np.zeros(4))


def test_by_hand() -> None:
    first = scores(np.array([1.0, 2.0, 3.0, 6.0]))
    units = paired_units([first], [ZERO])
    assert units is not None and units.tolist() == [1, 2, 3, 6]
    spread = (14 / 3) ** 0.5  # squares 4, 1, 0, 9 over n - 1
    assert effect_dz(units) == pytest.approx(3 / spread)
    assert minimum_effect([first], [ZERO]) == pytest.approx(2.801585 * spread / 2)


def test_seeds_are_averaged_item_by_item() -> None:
    seeds = [scores(np.array([1.0, 0.0, 3.0, 0.0])), scores(np.array([1.0, 4.0, 3.0, 12.0]))]
    units = paired_units(seeds, [ZERO, ZERO])
    assert units is not None and units.tolist() == [1, 2, 3, 6]


@pytest.mark.parametrize("differences", [[0.0] * 4, [0.3] * 4])
def test_without_any_spread_there_is_no_effect_size(differences: list[float]) -> None:
    units = paired_units([scores(np.array(differences))], [ZERO])
    assert units is not None
    assert effect_dz(units) is None
    assert minimum_effect([scores(np.array(differences))], [ZERO]) is None


def test_rounding_is_no_spread() -> None:
    first, second = nll([0.3, 0.6, 0.9], [3, 6, 9]), nll([0.6, 1.2, 1.8], [3, 6, 9])
    assert minimum_effect([first], [second]) is None


def test_one_item_has_no_spread() -> None:
    assert minimum_effect([scores(np.ones(1))], [scores(np.zeros(1))]) is None


def test_an_auc_has_the_bootstraps_error_and_no_dz() -> None:
    rng = np.random.default_rng(0)
    first = membership(rng.normal(size=30), rng.normal(1.0, size=30))
    second = membership(rng.normal(size=30), rng.normal(size=30))
    assert paired_units([first], [second]) is None
    error = item_draws(difference(first, second)).std(ddof=1)
    assert minimum_effect([first], [second]) == pytest.approx(2.801585 * error)
    assert minimum_effect([first], [first]) is None


def test_a_minimum_effect_is_found_in_four_of_five_experiments() -> None:
    rng = np.random.default_rng(1)
    level = scores(np.zeros(40))
    effect = minimum_effect([scores(rng.normal(0.0, 2.0, size=40))], [level])
    truth = 2.801585 * 2.0 / np.sqrt(40)
    assert effect == pytest.approx(truth, rel=0.25)
    found = [
        paired_p([scores(rng.normal(truth, 2.0, size=40))], [level]) <= 0.05 for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)
