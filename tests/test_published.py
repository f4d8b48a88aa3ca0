"""The published numbers as data, the errors that their items imply, and ours beside them."""

import csv
import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from small_claims import key, missing, number

from qunlearn.analysis.published import (
    NOT_RUN,
    auc_error,
    privleak_error,
    read_retrain_aucs,
    read_table,
    score_error,
    write_beside,
)
from qunlearn.analysis.summary import Key

PUBLISHED = ROOT / "resources/published"
CELLS = [
    (corpus, objective)
    for corpus in ("books", "news")
    for objective in ("ga_gdr", "ga_klr", "npo_gdr", "npo_klr")
]


def test_the_table_is_whole_and_as_printed() -> None:
    table = read_table(PUBLISHED)
    assert len(table) == 2 * 4 * 4 * 4
    assert {key[:2] for key in table} == set(CELLS)
    assert set(Counter(key[2:] for key in table).values()) == {len(CELLS)}
    assert table[Key("books", "ga_gdr", "full", "bf16", "utility")] == 68.74
    assert table[Key("books", "ga_klr", "lora", "fp4", "verbmem")] == 0.14
    assert table[Key("books", "npo_gdr", "lora", "fp4", "privleak")] == -58.91
    assert table[Key("news", "ga_gdr", "full", "bf16", "verbmem")] == 52.15
    assert table[Key("news", "npo_gdr", "full", "fp4", "knowmem")] == 47.63
    assert table[Key("news", "npo_klr", "lora", "fp4", "utility")] == 39.96


def test_the_references_are_whole_and_sourced() -> None:
    references = pd.read_csv(PUBLISHED / "reference.csv")
    assert dict(references[["corpus", "objective"]].value_counts()) == {
        ("books", "target"): 4, ("books", "retrain"): 5,
        ("news", "target"): 4, ("news", "retrain"): 5,
    }  # fmt: skip
    assert references["source"].notna().all()
    assert read_retrain_aucs(PUBLISHED) == {"books": 0.5393, "news": 0.4772}


def test_errors_by_hand() -> None:
    assert score_error(50, 100) == 5.0  # sqrt(0.25 / 100)
    assert score_error(80, 64) == pytest.approx(5.0)  # 0.4 / 8
    assert score_error(0, 100) == score_error(100, 100) == 0.0
    # Hanley and McNeil's. A = 1/2: Q1 = Q2 = 1/3, so (1/4 + 198/12) / 10000.
    assert auc_error(0.5, 100, 100) == pytest.approx(math.sqrt(16.75 / 10_000))
    # A = 0.8, n 2, m 3: Q1 = 2/3, Q2 = 1.28/1.8; the terms 0.16, Q1 - 0.64 and 2 (Q2 - 0.64).
    terms = 0.16 + (2 / 3 - 0.64) + 2 * (1.28 / 1.8 - 0.64)
    assert auc_error(0.8, 2, 3) == pytest.approx(math.sqrt(terms / 6))
    assert auc_error(0.0, 100, 100) == auc_error(1.0, 100, 100) == 0.0
    assert privleak_error(0, 0.5, 200) == pytest.approx(200 * auc_error(0.5, 100, 100))
    assert privleak_error(-50, 0.5, 200) == pytest.approx(200 * auc_error(0.25, 100, 100))


def test_every_published_number_stands_beside_ours(tmp_path: Path) -> None:
    ours = {key("lora", "bf16"): number(50), key("lora", "fp4"): number(50)}
    ours[key("full", "fp4", "privleak")] = missing(diverged=1)
    write_beside(tmp_path / "a.csv", ours, read_table(PUBLISHED))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        found = {tuple(row[:5]): row[5:] for row in csv.reader(stream)}
    assert list(found)[1:] == list(read_table(PUBLISHED))
    assert found[key("lora", "bf16")] == ["50", "48.04", "51.96", "48.61", "1.39", "yes", ""]
    assert found[key("lora", "fp4")][3:6] == ["46.4", "3.6", "no"]
    assert found[key("full", "fp4", "privleak")] == ["diverged", "", "", "-87.53", "", "", ""]
    absent = found["books", "ga_gdr", "lora", "fp4", "utility"]
    assert (absent[0], absent[-1]) == ("", NOT_RUN)
