"""The same experiment twice on one machine gives the same bytes, whatever the surroundings.

The runs differ in all that may not matter: jobs side by side or one by one, their order, the place
and depth of the folder, Python's hash seed, time zone, locale and umask. They have the seed, the
packages and the number of threads of each job in common.
"""

import os
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, Snakemake
from small_corpora import run_script

from qunlearn.analysis.compare import compare
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, sha256
from qunlearn.run.manifest import MANIFEST

RESULTS = Path("results/tiny")
LAST_FIRST = (
    RESULTS / "eval/news/npo_klr/lora/seed0/rtn3g64/metrics.json",
    RESULTS / "survival/news/npo_klr/full/seed0",
)
# The hash seed of the other run's processes is drawn at random, and they are forked.
SURROUNDINGS = {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "C"}
OF_TIME = ("logs", "benchmarks")
MEASURED = ("wall_seconds", "peak_memory_mib", "git_commit")  # in a manifest


def content(name: Path, file: Path) -> Any:
    """What of a file may not differ."""
    if name.name == MANIFEST:
        return {key: value for key, value in read_json(file).items() if key not in MEASURED}
    if name.suffix == ".md":  # a card, with the commit
        return re.sub(r"(?m)^\| Pipeline \|.*$", "", file.read_text(encoding="utf-8"))
    return sha256(file)


def contents(results: Path) -> dict[str, Any]:
    names = {file.relative_to(results): file for file in results.rglob("*") if file.is_file()}
    return {
        name.as_posix(): content(name, file)
        for name, file in names.items()
        if name.parts[0] not in OF_TIME and not name.name.startswith(".")
    }


@pytest.mark.slow
def test_other_orders_same_bytes(tmp_path: Path, tiny_run: Path, snakemake: Snakemake) -> None:
    folder = tmp_path / "much deeper" / "in another place"
    folder.mkdir(parents=True)
    arguments = ("--configfile", str(ROOT / "config/tiny.yaml"), "--cores", "1")
    before = os.umask(0o077)
    try:
        for targets in (*([str(target)] for target in LAST_FIRST), []):
            order = (*arguments, "--scheduler", "greedy", "--", *targets)
            done = snakemake(folder, *order, environment=SURROUNDINGS)
            assert done.returncode == 0, done.stderr[-3000:]
    finally:
        os.umask(before)
    first = folder / RESULTS / "eval/news/target/bf16/metrics.json"
    assert (folder / LAST_FIRST[0]).stat().st_mtime < first.stat().st_mtime

    expected, found = contents(tiny_run / RESULTS), contents(folder / RESULTS)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    for kind in ("safetensors", "jsonl", "csv", "png", "pdf", "html", "rst", "md"):
        assert any(name.endswith(kind) for name in found), f"no {kind} was compared"


# --- Two runs side by side, and the tiny run beside its kept tables -------------------------------

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
