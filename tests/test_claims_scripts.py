"""The scripts of the claims and of the comparison with the paper, from CSV files to CSV files."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_claims import key, missing, number
from small_manifests import sign_evaluations
from small_records import evaluate

from qunlearn.analysis.evidence import Pair, read_tests
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.published import NO_COUNTERPART, NOT_RUN, read_table, write_beside
from qunlearn.analysis.summary import Key, summaries, write_summaries
from qunlearn.analysis.verdicts import Finding

ROOT = Path(__file__).parents[1]
CLAIMS, PUBLISHED = ROOT / "resources/claims.yaml", ROOT / "resources/published"


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "workflow/scripts" / name), *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    numbers = {
        key(adapter, precision): number(50)
        for adapter in ("full", "lora")
        for precision in ("bf16", "fp4")
    }
    numbers[key("lora", "fp4", "reversion_nll_forget")] = number(0.0, 0.01)
    numbers[key("full", "fp4", "privleak")] = missing(diverged=1)
    write_summaries(tmp_path / "summary.csv", "small", numbers)
    (tmp_path / "tests.csv").write_text(",".join(TESTS_TABLE.columns) + "\n")
    (tmp_path / "tests.csv").open("a").write(
        "small,news,adapters,utility,npo_gdr,lora,fp4,full,fp4,"
        "7,2,12,0.001,0.02,0.4,5,64,3,n < 10\n"
        "small,news,quantization,utility,npo_gdr,lora,fp4,lora,bf16,"
        "0,0,0,one seed,one seed,undefined,undefined,64,1,\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("word", "p"), [("0.02", 0.02), ("one seed", None), ("two seeds", None), ("undefined", None)]
)
def test_tests_of_one_variant_against_another_are_read(
    tables: Path, word: str, p: float | None
) -> None:
    file = tables / "tests.csv"
    file.write_text(file.read_text().replace("0.001,0.02", f"{word},{word}"))
    assert read_tests(file) == {
        Pair("news", "npo_gdr", "fp4", "utility", "lora", "full"): Finding(
            7, 2, 12, 64, 5, 3, p, "n < 10"
        )
    }


def judge(tables: Path, *more: str | Path) -> subprocess.CompletedProcess[str]:
    files = ("--summary", tables / "summary.csv", "--tests", tables / "tests.csv")
    where = ("--claims", CLAIMS, "--published", PUBLISHED, "--output", tables)
    return run("judge_claims.py", *where, *files, *more)


def test_claims_are_judged_on_ours_and_on_the_papers(tables: Path) -> None:
    assert (done := judge(tables)).returncode == 0, done.stderr
    rows = read(tables / "claims.csv")
    ours = {(row["claim"], row["metric"]): row for row in rows if row["scope"] == "four_bit"}
    theirs = read(tables / "claims_published.csv")

    level = ours["utility_level", "utility"]
    assert (level["verdict"], level["value"], level["p"]) == ("supported", "7", "0.02")
    assert ours["utility_drop", "utility"]["verdict"] == "undecided"
    assert ours["lora_keeps", "reversion_nll_forget"]["verdict"] == "supported"
    assert ours["size_of_lora", "reversion_nll_forget"]["reason"].startswith("controls were not")
    assert {(row["scope"], row["precision"]) for row in rows} == {
        ("four_bit", "fp4"), ("coarsest", ""),
    }  # fmt: skip
    assert len(theirs) == 3 * 8
    assert {(row["verdict"], row["p"]) for row in theirs} == {("undecided", "one seed")}
    text = (tables / "claims.md").read_text(encoding="utf-8")
    assert "above 0 in 5 of 8." in text
    assert "above 0 in 8 of 8." in text
    assert "p = 0.0078 (sign test)" in text
    names = ("claims.csv", "claims_published.csv", "claims.md")
    before = [(tables / name).read_bytes() for name in names]
    judge(tables)
    assert [(tables / name).read_bytes() for name in names] == before


def test_with_the_records_drops_are_paired(tables: Path) -> None:
    evaluations = tables / "eval"
    cells = []
    for adapter, after in (("full", (0.1, 0.5)), ("lora", (0.3, 0.7))):
        for precision, utility in (("bf16", (0.4, 0.8)), ("fp4", after)):
            cells.append(f"news/npo_gdr/{adapter}/seed0/{precision}")
            evaluate(evaluations, cells[-1], utility=utility)
    sign_evaluations(evaluations)
    done = judge(tables, "--evaluations", evaluations, "--cells", *cells)
    assert done.returncode == 0, done.stderr
    (drop,) = (
        row
        for row in read(tables / "claims.csv")
        if (row["claim"], row["scope"]) == ("utility_drop", "four_bit")
    )
    # Both questions lose 30 points with one variant and 10 with the other.
    assert [drop[name] for name in ("value", "ci_low", "ci_high")] == ["20", "20", "20"]
    assert (drop["verdict"], drop["p"]) == ("undecided", "one seed")
    assert drop["reason"].startswith("the whole interval is above 0, but it was not tested: one")


@pytest.mark.parametrize("script", ["judge_claims.py", "write_tables.py"])
def test_help_loads_no_library(script: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "workflow/scripts" / script), "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
    )
    assert done.returncode == 0
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "qunlearn.run.cli" in loaded
    assert not loaded & {"numpy", "yaml", "torch"}


def compare(tables: Path, counterpart: str) -> list[dict[str, str]]:
    theirs = read_table(PUBLISHED) if counterpart == "paper" else None
    write_beside(tables / "vs_paper.csv", summaries(tables / "summary.csv"), theirs)
    return read(tables / "vs_paper.csv")


def test_every_published_number_stands_beside_ours(tables: Path) -> None:
    rows = {Key(*(row[name] for name in Key._fields)): row for row in compare(tables, "paper")}

    assert list(rows) == list(read_table(PUBLISHED))
    inside = rows[key("lora", "bf16")]  # theirs 48.61, ours 50 ± 1.96
    assert (inside["theirs"], inside["difference"]) == ("48.61", "1.39")
    assert (inside["ours"], inside["theirs_inside"], inside["note"]) == ("50", "yes", "")
    outside = rows[key("lora", "fp4")]  # theirs 46.40
    assert (outside["difference"], outside["theirs_inside"]) == ("3.6", "no")
    diverged = rows[key("full", "fp4", "privleak")]
    assert (diverged["ours"], diverged["theirs"], diverged["theirs_inside"]) == (
        "diverged", "-87.53", "",
    )  # fmt: skip
    absent = rows[Key("books", "ga_gdr", "lora", "fp4", "utility")]
    assert (absent["ours"], absent["note"]) == ("", NOT_RUN)


def test_without_a_counterpart_one_row_says_so(tables: Path) -> None:
    (row,) = compare(tables, "none")

    assert row.pop("note") == NO_COUNTERPART
    assert not any(row.values())
