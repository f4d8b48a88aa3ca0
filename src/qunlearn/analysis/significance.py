"""Which numbers of the main table stand out: those that beat their rival beyond chance."""

from collections.abc import Mapping
from pathlib import Path

from qunlearn.analysis.summary import TEST_COLUMNS, Key, Summary
from qunlearn.experiment.labels import GOALS
from qunlearn.run.csvfile import read_rows
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import ALPHA


def better(tests: Path, found: Mapping[Key, Summary]) -> frozenset[Key]:
    """The better one of each two variants that differ at the same precision.

    Args:
        tests: a `tests.csv`; its family `adapters` is read.
        found: the values; PrivLeak is the better, the nearer it is to 0.

    Raises:
        InputError: the file is missing or of another form, or not of the same cells.
    """
    winners = set()
    rows = read_rows(tests, TEST_COLUMNS, "test the differences", may_be_empty=True)
    for line, row in rows:
        goal = GOALS.get(row["metric"])
        if row["family"] != "adapters" or goal is None or not _significant(row["p_holm"]):
            continue
        first, second = (
            Key(
                row["corpus"],
                row["objective"],
                row[f"adapter_{side}"],
                row[f"precision_{side}"],
                row["metric"],
            )
            for side in "ab"
        )
        if missing := [key for key in (first, second) if key not in found]:
            raise InputError(
                f"{tests}: line {line} is of {'/'.join(missing[0])}, that the summary lacks; "
                "make both from the same cells"
            )
        winners.add(first if _first_wins(goal, found[first], found[second]) else second)
    return frozenset(winners)


def _significant(p: str) -> bool:
    try:
        return float(p) < ALPHA
    except ValueError:
        return False  # a word says why there is none


def _first_wins(goal: str, first: Summary, second: Summary) -> bool:
    assert first.value is not None and second.value is not None  # there is a p
    if goal == "→0":
        return abs(first.value) < abs(second.value)
    return (first.value < second.value) == (goal == "↓")
