"""Every branch of the rule that turns a number into a verdict."""

import pytest

from qunlearn.analysis.verdicts import Absent, ClaimVerdict, Finding, decide


def found(low: float, high: float, p: float | None = None, seeds: int = 3) -> Finding:
    return Finding((low + high) / 2, low, high, 32, 0.5, seeds, p)


@pytest.mark.parametrize(
    ("finding", "threshold", "above", "verdict", "reason"),
    [
        (found(0.1, 2), 0, True, "supported", "the whole interval is above 0"),
        (found(-2, -0.1), 0, True, "contradicted", "the whole interval is below 0"),
        (found(-1, 2), 0, True, "undecided", "the interval holds 0"),
        (found(0, 2), 0, True, "undecided", "the interval holds 0"),  # an end on it is inside
        (found(-2, 0), 0, True, "undecided", "the interval holds 0"),
        (found(0, 0), 0, True, "undecided", "the interval holds 0"),
        (found(0.2, 0.9), 0.1, True, "supported", "the whole interval is above 0.1"),
        (found(-0.1, 0.09), 0.1, True, "contradicted", "the whole interval is below 0.1"),
        (found(0.05, 0.9), 0.1, True, "undecided", "the interval holds 0.1"),
        (found(0, 0), 0.1, True, "contradicted", "the whole interval is below 0.1"),
        (found(0.2, 0.9), 0.1, False, "contradicted", "the whole interval is above 0.1"),
        (found(-0.1, 0.09), 0.1, False, "supported", "the whole interval is below 0.1"),
        (found(0.05, 0.9), 0.1, False, "undecided", "the interval holds 0.1"),
        (found(0.1, 2, p=0.05), 0, True, "supported", "the whole interval is above 0"),
        (found(-2, -0.1, p=0.01), 0, True, "contradicted", "the whole interval is below 0"),
        (
            found(0.1, 2, p=0.051), 0, True, "undecided",
            "the whole interval is above 0, but p is above 0.05 after Holm's correction",
        ),
        (
            found(-2, -0.1, p=0.2), 0, True, "undecided",
            "the whole interval is below 0, but p is above 0.05 after Holm's correction",
        ),
        (found(-1, 2, p=0.001), 0, True, "undecided", "the interval holds 0"),
        (Absent("LoRA at NF4: diverged"), 0, True, "undecided", "LoRA at NF4: diverged"),
    ],
)  # fmt: skip
def test_each_branch(
    finding: Finding | Absent, threshold: float, above: bool, verdict: ClaimVerdict, reason: str
) -> None:
    assert decide(finding, threshold, above) == (verdict, reason)


def test_what_takes_a_test_is_undecided_without_one() -> None:
    reason = "the whole interval is above 0"
    assert decide(found(0.1, 2, p=0.05), 0, tested=True) == ("supported", reason)
    assert decide(found(0.1, 2), 0, tested=True)[1] == f"{reason}, but it was not tested"
    for seeds, words in ((1, "one seed"), (2, "two seeds")):
        untested = decide(found(0.1, 2, seeds=seeds), 0, tested=True)
        assert untested == ("undecided", f"{reason}, but it was not tested: {words}")
    assert decide(found(-1, 2, seeds=1), 0, tested=True)[1] == "the interval holds 0"


def test_an_interval_of_one_run_says_so() -> None:
    assert decide(found(0.2, 0.9, seeds=1), 0.1) == (
        "supported",
        "the whole interval is above 0.1, over the items of one run",
    )


def test_where_a_contradiction_would_mean_nothing_there_is_none() -> None:
    assert decide(found(-0.1, 0.05), 0.1, idle="nothing reverts") == (
        "undecided",
        "nothing reverts",
    )
    assert decide(found(0.2, 0.5), 0.1, idle="nothing reverts")[0] == "supported"
