"""Every branch of the rule that turns a number into a verdict."""

import pytest

from qunlearn.analysis.verdicts import Absent, ClaimVerdict, Finding, decide, side

ABOVE, BELOW = "the whole interval is above 0", "the whole interval is below 0"
UNTESTED = "but it was not tested"
CHANCE = "but p is above 0.05 after Holm's correction"


def found(low: float, high: float, p: float | None = None, seeds: int = 3) -> Finding:
    return Finding((low + high) / 2, low, high, 32, 0.5, seeds, p)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.2, 0.9, "above"), (-1, 0.09, "below"), (0.1, 0.9, None), (-1, 0.1, None), (0.1, 0.1, None)],
)
def test_an_end_on_the_threshold_is_on_neither_side(
    low: float, high: float, expected: str | None
) -> None:
    assert side(low, high, 0.1) == expected


@pytest.mark.parametrize(
    ("finding", "threshold", "above", "verdict", "reason"),
    [
        (found(0.1, 2), 0, True, "supported", ABOVE),
        (found(-2, -0.1), 0, True, "contradicted", BELOW),
        (found(-1, 2), 0, True, "undecided", "the interval holds 0"),
        (found(0, 0), 0, True, "undecided", "the interval holds 0"),
        (found(0.2, 0.9), 0.1, True, "supported", f"{ABOVE}.1"),
        (found(0, 0), 0.1, True, "contradicted", f"{BELOW}.1"),
        (found(0.2, 0.9), 0.1, False, "contradicted", f"{ABOVE}.1"),
        (found(-0.1, 0.09), 0.1, False, "supported", f"{BELOW}.1"),
        (found(0.05, 0.9), 0.1, False, "undecided", "the interval holds 0.1"),
        (found(0.1, 2, p=0.05), 0, True, "supported", ABOVE),
        (found(-2, -0.1, p=0.01), 0, True, "contradicted", BELOW),
        (found(0.1, 2, p=0.051), 0, True, "undecided", f"{ABOVE}, {CHANCE}"),
        (found(-2, -0.1, p=0.2), 0, True, "undecided", f"{BELOW}, {CHANCE}"),
        (found(-1, 2, p=0.001), 0, True, "undecided", "the interval holds 0"),
        (Absent("LoRA at NF4: diverged"), 0, True, "undecided", "LoRA at NF4: diverged"),
        (
            found(0.2, 0.9, seeds=1), 0.1, True, "supported",
            f"{ABOVE}.1, over the items of one run",
        ),
    ],
)  # fmt: skip
def test_each_branch(
    finding: Finding | Absent, threshold: float, above: bool, verdict: ClaimVerdict, reason: str
) -> None:
    assert decide(finding, threshold, above) == (verdict, reason)


@pytest.mark.parametrize(
    ("finding", "verdict", "reason"),
    [
        (found(0.1, 2, p=0.05), "supported", ABOVE),
        (found(0.1, 2), "undecided", f"{ABOVE}, {UNTESTED}"),
        (found(0.1, 2, seeds=1), "undecided", f"{ABOVE}, {UNTESTED}: one seed"),
        (found(0.1, 2, seeds=2), "undecided", f"{ABOVE}, {UNTESTED}: two seeds"),
        (found(-1, 2, seeds=1), "undecided", "the interval holds 0"),
    ],
)
def test_what_takes_a_test_is_undecided_without_one(
    finding: Finding, verdict: ClaimVerdict, reason: str
) -> None:
    assert decide(finding, 0, tested=True) == (verdict, reason)


def test_where_a_contradiction_would_mean_nothing_there_is_none() -> None:
    idle = "nothing reverts"
    assert decide(found(-0.1, 0.05), 0.1, idle=idle) == ("undecided", idle)
    assert decide(found(0.2, 0.5), 0.1, idle=idle)[0] == "supported"
