"""The published numbers as data, what follows from them, and the errors that their items imply."""

import math
from collections import Counter
from pathlib import Path

import pytest

from qunlearn.analysis.published import (
    REFERENCE,
    auc_error,
    privleak_error,
    published_numbers,
    read_retrain_aucs,
    read_table,
    score_error,
)
from qunlearn.analysis.summary import Key
from qunlearn.run.errors import InputError

PUBLISHED = Path(__file__).parents[1] / "resources/published"
CELLS = [
    (corpus, objective)
    for corpus in ("books", "news")
    for objective in ("ga_gdr", "ga_klr", "npo_gdr", "npo_klr")
]


@pytest.fixture(scope="module")
def table() -> dict[Key, float]:
    return read_table(PUBLISHED)


def test_the_table_is_whole(table: dict[Key, float]) -> None:
    assert len(table) == 2 * 4 * 4 * 4
    assert {(key.corpus, key.objective) for key in table} == set(CELLS)
    for field, values in (("adapter", {"full", "lora"}), ("precision", {"bf16", "fp4"})):
        assert Counter(getattr(key, field) for key in table) == dict.fromkeys(values, 64)
    assert set(Counter(key.metric for key in table).values()) == {32}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (Key("books", "ga_gdr", "full", "bf16", "utility"), 68.74),
        (Key("books", "ga_klr", "lora", "fp4", "verbmem"), 0.14),
        (Key("books", "npo_gdr", "lora", "fp4", "privleak"), -58.91),
        (Key("news", "ga_gdr", "full", "bf16", "verbmem"), 52.15),
        (Key("news", "npo_gdr", "full", "fp4", "knowmem"), 47.63),
        (Key("news", "npo_klr", "lora", "fp4", "utility"), 39.96),
    ],
)
def test_cells_by_hand(table: dict[Key, float], key: Key, value: float) -> None:
    assert table[key] == value


def test_what_the_table_says_when_read_whole(table: dict[Key, float]) -> None:
    def utility(cell: tuple[str, str], adapter: str, precision: str) -> float:
        return table[Key(*cell, adapter, precision, "utility")]

    levels = [utility(cell, "lora", "fp4") - utility(cell, "full", "fp4") for cell in CELLS]
    drops = [
        (utility(cell, "full", "bf16") - utility(cell, "full", "fp4"))
        - (utility(cell, "lora", "bf16") - utility(cell, "lora", "fp4"))
        for cell in CELLS
    ]
    recoveries = [
        table[Key(*cell, "full", "fp4", metric)] > table[Key(*cell, "full", "bf16", metric)]
        for cell in CELLS
        for metric in ("verbmem", "knowmem")
    ]
    assert levels[:4] == pytest.approx([-0.63, 6.17, 7.93, -6.48])
    assert (sum(level > 0 for level in levels), len(levels)) == (5, 8)
    assert (sum(drop > 0 for drop in drops), len(drops)) == (8, 8)
    assert (sum(recoveries), len(recoveries)) == (1, 16)


def test_the_references_are_whole_and_sourced() -> None:
    rows = list(REFERENCE.rows(PUBLISHED / "reference.csv"))

    assert Counter((row.corpus, row.objective) for row in rows) == {
        ("books", "target"): 4, ("books", "retrain"): 5,
        ("news", "target"): 4, ("news", "retrain"): 5,
    }  # fmt: skip
    assert all(row.source for row in rows)
    assert read_retrain_aucs(PUBLISHED) == {"books": 0.5393, "news": 0.4772}


def test_score_error_by_hand() -> None:
    assert score_error(50, 100) == 5.0  # sqrt(0.25 / 100)
    assert score_error(80, 64) == pytest.approx(5.0)  # 0.4 / 8
    assert score_error(0, 100) == score_error(100, 100) == 0.0


def test_auc_error_is_hanley_and_mcneils() -> None:
    # A = 1/2: Q1 = Q2 = 1/3, so (1/4 + 198/12) / 10000.
    assert auc_error(0.5, 100, 100) == pytest.approx(math.sqrt(16.75 / 10_000))
    # A = 0.8, n 2, m 3: Q1 = 2/3, Q2 = 1.28/1.8; the terms 0.16, Q1 - 0.64 and 2 (Q2 - 0.64).
    terms = 0.16 + (2 / 3 - 0.64) + 2 * (1.28 / 1.8 - 0.64)
    assert auc_error(0.8, 2, 3) == pytest.approx(math.sqrt(terms / 6))
    assert auc_error(0.0, 100, 100) == auc_error(1.0, 100, 100) == 0.0


def test_privleak_error_is_the_aucs_on_its_scale() -> None:
    assert privleak_error(0, 0.5, 200) == pytest.approx(200 * auc_error(0.5, 100, 100))
    assert privleak_error(-50, 0.5, 200) == pytest.approx(200 * auc_error(0.25, 100, 100))


def test_intervals_are_as_wide_as_the_items_say() -> None:
    found = published_numbers(PUBLISHED)
    utility = found[Key("books", "npo_gdr", "full", "fp4", "utility")]
    leak = found[Key("books", "ga_gdr", "lora", "fp4", "privleak")]

    assert (utility.value, utility.n) == (50.17, 100)
    assert utility.low == pytest.approx(50.17 - 1.96 * 5.0, abs=1e-3)
    assert leak.high is not None and leak.low is not None
    assert 7 < (leak.high - leak.low) / (2 * 1.96) < 9
    assert leak.n == 200


def test_a_metric_without_a_number_of_items_is_named(tmp_path: Path) -> None:
    for name in ("table.csv", "reference.csv"):
        (tmp_path / name).write_bytes((PUBLISHED / name).read_bytes())
    (tmp_path / "items.csv").write_text("metric,n\nknowmem,100\n")

    with pytest.raises(InputError, match=r"books verbmem has no number of items in items\.csv"):
        published_numbers(tmp_path)
