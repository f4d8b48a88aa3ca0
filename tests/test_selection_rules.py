"""The rules of the choice on small grids whose answer is plain."""

import pytest

from qunlearn.analysis.selection.choice import fixed, front, muse, pareto
from qunlearn.analysis.selection.choice import Candidate, Scores


def of(name: str, knowmem: float | None, utility: float = 0.0, diverged: int = 0) -> Candidate:
    point, epoch = name.split("/")
    scores = None if knowmem is None else Scores(knowmem, utility, 3.0)
    return Candidate(point, epoch, scores, seeds=2, diverged=2 if knowmem is None else diverged)


# Retrain knows 20. Of `a` the first snapshot at or below that is the second, of `b` the first.
GRID = [
    of("a/epoch1", 50, 90),
    of("a/epoch2", 20, 60),
    of("a/epoch3", 10, 70),  # more useful than the second, but not the first
    of("b/epoch1", 5, 50),
    of("b/epoch2", 0, 99),
    of("c/epoch1", 21, 80),
    of("c/epoch2", 30, 95),
]


def test_muse_takes_the_first_snapshot_that_forgot_and_of_these_the_most_useful() -> None:
    choice = muse(GRID, retrain_knowmem=20)
    assert choice.candidate.name == "a/epoch2"
    assert "KnowMem, 20.0, is at or below retrain's, 20.0; 2 of 3 trainings" in choice.reason
    assert not choice.caveat
    assert muse(GRID, retrain_knowmem=19.9).candidate.name == "a/epoch3"
    assert muse(GRID, retrain_knowmem=21).candidate.name == "c/epoch1"


def test_muse_takes_what_forgot_most_where_nothing_forgot_enough_and_says_so() -> None:
    grid = [of("a/epoch1", 50, 90), of("a/epoch2", 40, 10), of("b/epoch1", 45, 80)]
    choice = muse(grid, retrain_knowmem=20)
    assert choice.candidate.name == "a/epoch2"
    assert choice.caveat == (
        "no candidate's forget KnowMem is at or below retrain's, 20.0; this one's, 40.0, "
        "is the lowest"
    )
    assert choice.caveat in choice.reason


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/epoch10", "b/epoch5"], "b/epoch5"),  # fewer epochs; 10 is not before 5
        (["b/epoch5", "a/epoch5"], "b/epoch5"),  # the order of the grid
    ],
)
def test_ties(names: list[str], expected: str) -> None:
    grid = [of(name, 10, 50) for name in names]
    assert muse(grid, 20).candidate.name == expected
    assert muse(grid, 5).candidate.name == expected
    assert pareto(grid, 60).candidate.name == expected


def test_the_front() -> None:
    grid = [
        of("a/epoch1", 10, 50),
        of("b/epoch1", 10, 50),  # equal, so neither beats the other
        of("c/epoch1", 10, 49),  # as forgetful, less useful
        of("d/epoch1", 11, 50),
        of("e/epoch1", 30, 51),
        of("f/epoch1", 0, 0),
        of("g/epoch1", 0, 99, diverged=1),
    ]
    assert front(grid) == {"a/epoch1", "b/epoch1", "e/epoch1", "f/epoch1"}


def test_pareto_takes_the_nearest_of_the_front() -> None:
    # From (0, 60): 50 (30, 40 away), 41 (40, 9), 60 (0, 60); the last is beaten.
    grid = [of("a/epoch1", 30, 20), of("b/epoch1", 40, 51), of("c/epoch1", 0, 0)]
    assert pareto(grid, target_utility=60).candidate.name == "b/epoch1"
    beaten = of("d/epoch1", 40, 50)
    assert pareto([beaten, *grid], target_utility=60).candidate.name == "b/epoch1"
    assert "of the 3 candidates" in pareto([beaten, *grid], target_utility=60).reason


def test_more_utility_than_target_has_is_no_fault_to_pareto() -> None:
    # Counted as a distance, 35 above target's would be as bad as 35 below it.
    grid = [of("a/epoch1", 10, 95), of("b/epoch1", 9, 45)]
    assert pareto(grid, target_utility=60).candidate.name == "a/epoch1"


def test_pareto_takes_none_that_is_beaten_though_it_is_as_near() -> None:
    grid = [of("a/epoch1", 10, 70), of("b/epoch2", 10, 80)]
    assert pareto(grid, target_utility=60).candidate.name == "b/epoch2"


def test_a_candidate_with_a_diverged_seed_never_wins() -> None:
    broken = [of("x/epoch1", 0, 99, diverged=1), of("y/epoch1", None)]
    assert muse([*broken, *GRID], 20).candidate.name == "a/epoch2"
    assert pareto([*broken, *GRID], 99).candidate.name == "b/epoch2"
    assert muse([*broken, of("a/epoch1", 90)], 20).candidate.name == "a/epoch1"


@pytest.mark.parametrize("rule", [muse, pareto])
def test_where_all_diverged_the_least_diverged_stands_for_the_cell(rule: object) -> None:
    grid = [of("y/epoch1", None), of("x/epoch1", 0, 99, diverged=1)]
    choice = rule(grid, 20.0)  # type: ignore[operator]
    assert (choice.candidate.name, choice.caveat) == ("x/epoch1", "all diverged")


def test_fixed_takes_what_is_named_be_it_good_or_bad() -> None:
    assert fixed(GRID, "c/epoch2").candidate == GRID[-1]
