"""The rule: an update is lost where fewer weights move than the grid rounds to zero."""

from math import inf, isnan, nan

import pytest

from qunlearn.survival.forecast import lost, ratio, verdict


def test_the_ratio_of_shares() -> None:
    assert ratio(0.1, 0.2) == 0.5
    assert ratio(0.1, 0.0) == inf
    assert all(isnan(found) for found in (ratio(0.0, 0.2), ratio(nan, 0.2), ratio(0.1, nan)))


def test_the_bare_rule() -> None:
    assert lost(0.199, 0.2) and not lost(0.2, 0.2)
    assert not lost(0.001, 0.0)
    assert not lost(0.0, 0.2) and not lost(nan, nan)


@pytest.mark.parametrize(
    ("moved", "zero", "projection", "expected"),
    [
        (0.155, 0.334, 0.00, "lost"),
        (0.0879, 0.1, 0.2, "lost"),
        (0.0881, 0.1, 0.5, "on the edge"),
        (0.113, 0.1, 1.9, "on the edge"),  # whatever arrives
        (0.114, 0.1, 1.0, "arrives"),
        (0.114, 0.1, 1.3, "arrives"),
        (0.114, 0.1, 1.31, "amplified"),
        (0.155, 0.0, 1.0, "arrives"),
        (1.0, 0.334, 0.2, "arrives"),  # the forecast is from the shares alone
        (0.0, 0.334, nan, "nothing moved"),
        (0.0, 0.0, nan, "nothing moved"),
        (nan, nan, nan, "undefined"),
    ],
)
def test_verdicts(moved: float, zero: float, projection: float, expected: str) -> None:
    assert verdict(moved, zero, projection) == expected
