"""The rules of the choice on small grids whose answer is plain."""

import pandas as pd
import pytest

from qunlearn.analysis.selection.choice import Rule, Selection, choose, gather
from qunlearn.run.errors import InputError

DIVERGED = {"status": "diverged"}
Row = tuple[str, float, float, int]


def of(name: str, knowmem: float, utility: float = 0.0, diverged: int = 0) -> Row:
    return name, knowmem, utility, diverged


def grid_of(rows: list[Row]) -> pd.DataFrame:
    """Candidates of two seeds, of which some diverged."""
    answers: dict[str, list[dict[str, object]]] = {}
    for name, knowmem, utility, diverged in rows:
        point, epoch = name.split("/")
        own = {"status": "ok", "knowmem": knowmem, "utility": utility, "nll_forget": 3.0}
        for seed, found in enumerate(answers.setdefault(point, [{}, {}])):
            found[epoch] = DIVERGED if seed < diverged else own
    return gather(list(answers), answers)


def chosen(rule: Rule, rows: list[Row], reference: float = 0, named: str = "") -> Selection:
    """With retrain's KnowMem or target's Utility at `reference`."""
    scores = {"knowmem": reference, "utility": reference}
    asked = {"forget": 3, "retain": 4}
    return choose("news/ga/lora", rule, "test", named, asked, scores, scores, grid_of(rows))


def muse(rows: list[Row], retrain_knowmem: float) -> str:
    return chosen("muse", rows, retrain_knowmem).chosen


def pareto(rows: list[Row], target_utility: float) -> str:
    return chosen("pareto", rows, target_utility).chosen


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
    choice = chosen("muse", GRID, 20)
    assert choice.chosen == "a/epoch2"
    assert "KnowMem, 20.0, is at or below retrain's, 20.0; 2 of 3 trainings" in choice.reason
    assert not choice.caveat
    assert muse(GRID, 19.9) == "a/epoch3"
    assert muse(GRID, 21) == "c/epoch1"


def test_muse_takes_what_forgot_most_where_nothing_forgot_enough_and_says_so() -> None:
    grid = [of("a/epoch1", 50, 90), of("a/epoch2", 40, 10), of("b/epoch1", 45, 80)]
    choice = chosen("muse", grid, 20)
    assert choice.chosen == "a/epoch2"
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
    assert muse(grid, 20) == expected
    assert muse(grid, 5) == expected
    assert pareto(grid, 60) == expected


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
    found = grid_of(grid)
    assert list(found["name"][found["front"]]) == ["a/epoch1", "b/epoch1", "e/epoch1", "f/epoch1"]


def test_pareto_takes_the_nearest_of_the_front() -> None:
    # From (0, 60): 50 (30, 40 away), 41 (40, 9), 60 (0, 60); the last is beaten.
    grid = [of("a/epoch1", 30, 20), of("b/epoch1", 40, 51), of("c/epoch1", 0, 0)]
    assert pareto(grid, 60) == "b/epoch1"
    beaten = of("d/epoch1", 40, 50)
    assert pareto([beaten, *grid], 60) == "b/epoch1"
    assert "of the 3 candidates" in chosen("pareto", [beaten, *grid], 60).reason
    # Utility above target's is no fault: as a distance, 35 above would be as bad as 35 below.
    assert pareto([of("a/epoch1", 10, 95), of("b/epoch1", 9, 45)], 60) == "a/epoch1"
    # None that is beaten is taken, though it is as near.
    assert pareto([of("a/epoch1", 10, 70), of("b/epoch2", 10, 80)], 60) == "b/epoch2"


def test_a_candidate_with_a_diverged_seed_never_wins() -> None:
    broken = [of("x/epoch1", 0, 99, diverged=1), of("y/epoch1", 0, diverged=2)]
    assert muse([*broken, *GRID], 20) == "a/epoch2"
    assert pareto([*broken, *GRID], 99) == "b/epoch2"
    assert muse([*broken, of("a/epoch1", 90)], 20) == "a/epoch1"


@pytest.mark.parametrize("rule", ["muse", "pareto"])
def test_where_all_diverged_the_least_diverged_stands_for_the_cell(rule: Rule) -> None:
    choice = chosen(rule, [of("y/epoch1", 0, diverged=2), of("x/epoch1", 0, 99, diverged=1)], 20)
    assert (choice.chosen, choice.caveat) == ("x/epoch1", "all diverged")


def test_fixed_takes_what_is_named_be_it_good_or_bad() -> None:
    assert chosen("fixed", GRID, named="c/epoch2").chosen == "c/epoch2"
    with pytest.raises(InputError, match="'c/epoch3' is not a candidate of news/ga/lora; use one"):
        chosen("fixed", GRID, named="c/epoch3")
