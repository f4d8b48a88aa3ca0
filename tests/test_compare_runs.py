"""Two runs side by side, and the tiny run beside its kept tables."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from qunlearn.analysis.compare import compare
from qunlearn.run.errors import InputError

SCRIPT = ROOT / "workflow/scripts/compare_runs.py"
GOLDEN = ROOT / "tests/golden/tiny"
ROW = {
    "experiment": "e",
    "corpus": "news",
    "objective": "npo_gdr",
    "adapter": "lora",
    "seed": "0",
    "precision": "nf4",
    "metric": "verbmem",
    "value": "50",
    "ci_low": "40",
    "ci_high": "60",
    "n": "32",
}


def table(folder: Path, **changes: str) -> Path:
    folder.mkdir()
    pd.DataFrame([ROW | changes]).to_csv(folder / "metrics.csv", index=False)
    return folder


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "identical"),
        ({"value": "50.0001"}, "equal"),
        ({"value": "59"}, "within"),  # half the interval is 10
        ({"value": "61"}, "outside"),
        ({"value": "51", "ci_low": "51", "ci_high": "51"}, "within"),
        ({"value": "diverged", "ci_low": "", "ci_high": ""}, "outside"),
    ],
)
def test_a_number_is_judged_by_the_wider_interval(
    tmp_path: Path, changes: dict[str, str], verdict: str
) -> None:
    found = compare(table(tmp_path / "a"), table(tmp_path / "b", **changes))
    assert list(found["verdict"]) == [verdict]


def test_without_an_interval_one_item_is_noise(tmp_path: Path) -> None:
    """One of 32 prompts moves VerMem by at most 3.1 points."""
    point = {"ci_low": "50", "ci_high": "50"}
    first = table(tmp_path / "a", **point)
    within = compare(first, table(tmp_path / "b", value="53", ci_low="53", ci_high="53"))
    outside = compare(first, table(tmp_path / "c", value="54", ci_low="54", ci_high="54"))
    assert (within["verdict"][0], outside["verdict"][0]) == ("within", "outside")


def test_a_row_of_one_run_alone_is_missing_and_ends_with_1(tmp_path: Path) -> None:
    folders = table(tmp_path / "a"), table(tmp_path / "b", precision="fp4")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, folders)], capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.count("missing") >= 3  # the column's head and both rows


def test_folders_without_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no table in common"):
        compare(tmp_path, tmp_path)


def test_the_tiny_run_is_the_kept_one_within_noise(tiny_run: Path) -> None:
    """After a change that is meant to move numbers: make golden; the commit says which and why."""
    found = compare(GOLDEN, tiny_run / "results/tiny")
    assert set(found["table"]) == {file.name for file in GOLDEN.glob("*.csv")}
    apart = found[found["verdict"].isin(["outside", "missing"])]
    assert apart.empty, apart.to_string()
