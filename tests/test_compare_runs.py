"""Two runs side by side, and the tiny run beside its kept tables."""

from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from small_corpora import run_script

from qunlearn.analysis.compare import compare
from qunlearn.run.errors import InputError

GOLDEN = ROOT / "tests/golden/tiny"
ROW = {"experiment": "e", "corpus": "news", "objective": "npo_gdr", "adapter": "lora", "seed": "0"}
ROW |= {"precision": "nf4", "metric": "verbmem", "value": "50", "ci_low": "40", "ci_high": "60"}
POINT = {"ci_low": "50", "ci_high": "50"}


def table(folder: Path, **changes: str) -> Path:
    folder.mkdir()
    pd.DataFrame([ROW | {"n": "32"} | changes]).to_csv(folder / "metrics.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("one", "two", "verdict"),
    [
        ({}, {}, "identical"),
        ({}, {"value": "50.0001"}, "equal"),
        ({}, {"value": "59"}, "within"),  # half the wider interval is 10
        ({}, {"value": "61"}, "outside"),
        (POINT, {"value": "53", "ci_low": "53", "ci_high": "53"}, "within"),  # one of 32 prompts
        (POINT, {"value": "54", "ci_low": "54", "ci_high": "54"}, "outside"),  # moves it by 3.1
        ({}, {"value": "diverged", "ci_low": "", "ci_high": "", "n": ""}, "outside"),
    ],
)
def test_a_number_is_judged_by_the_wider_interval(
    tmp_path: Path, one: dict[str, str], two: dict[str, str], verdict: str
) -> None:
    found = compare(table(tmp_path / "a", **one), table(tmp_path / "b", **two))
    assert list(found["verdict"]) == [verdict]
    assert list(found["row"]) == ["news/npo_gdr/lora/0/nf4/verbmem"]


def test_a_row_of_one_run_alone_is_missing_and_ends_with_1(tmp_path: Path) -> None:
    folders = table(tmp_path / "a"), table(tmp_path / "b", precision="fp4")
    done = run_script("compare_runs.py", *map(str, folders), code=1)
    assert done.stdout.count("missing") >= 3  # the column's head and both rows
    with pytest.raises(InputError, match="no table in common"):
        compare(tmp_path, tmp_path)


def test_the_tiny_run_is_the_kept_one_within_noise(tiny_run: Path) -> None:
    """After a change that is meant to move numbers: make golden; the commit says which and why."""
    found = compare(GOLDEN, tiny_run / "results/tiny")
    assert set(found["table"]) == {file.name for file in GOLDEN.glob("*.csv")}
    # Another processor moves numbers within noise, and over a threshold a claim's verdict.
    moved = (found["verdict"] == "within").any()
    may_differ = moved & (found["table"] == "claims.csv") & (found["verdict"] == "outside")
    apart = found[found["verdict"].isin(["outside", "missing"]) & ~may_differ]
    assert apart.empty, apart.to_string()
