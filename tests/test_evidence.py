"""What claims are judged on: sums drawn for all terms together, tests, the published numbers."""

import csv
import math
from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from small_records import evaluate
from small_summaries import NLL, SUMS, key, missing, number

from qunlearn.analysis import published
from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.comparisons import (
    NO_COMMON_SEED,
    absent,
    better,
    paired_sum,
    read_tests,
    scope_of,
)
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.labels import GOALS

# Utility of eight questions. Each variant has its own shift, the same for every question.
EASY = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
VARIANTS = {"full": {"bf16": 0.1, "nf4": -0.1}, "lora": {"bf16": 0.1, "nf4": 0.0}}


def cell(adapter: str, precision: str, seed: int = 0) -> str:
    return f"news/npo_gdr/{adapter}/seed{seed}/{precision}"


def shifted(by: float) -> tuple[float, ...]:
    return tuple(score + by for score in EASY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    evaluate(tmp_path, "news/retrain/bf16")
    for name in ("news/target/bf16", "news/target/nf4"):
        evaluate(tmp_path, name, nll=(0.5,) * 2)
    for adapter, shifts in VARIANTS.items():
        for precision, shift in shifts.items():
            back = 1.0 if (adapter, precision) == ("full", "nf4") else 0.0
            utility, nll = shifted(shift), (2.5 - back,) * 2
            evaluate(tmp_path, cell(adapter, precision), utility=utility, nll=nll)
    return tmp_path


def total(
    folder: Path, name: str, seeds: int = 1, metric: str = "utility", distance: bool = False
) -> Summary:
    """One of SUMS at NF4."""
    names = [
        cell(adapter, grid, seed)
        for adapter, shifts in VARIANTS.items()
        for grid in shifts
        for seed in range(seeds)
    ]
    read = Evaluations(folder, ["news/target/bf16", "news/target/nf4", *names])
    terms = [
        (sign, key(variant, "nf4" if at == "same" else at, metric))
        for sign, variant, at in SUMS[name]
    ]
    return paired_sum(read, terms, distance)


@pytest.mark.parametrize("name", ["level", "drop"])
def test_what_questions_do_to_all_alike_is_not_in_the_interval(folder: Path, name: str) -> None:
    found = total(folder, name)
    assert (found.value, found.low, found.high) == pytest.approx((10, 10, 10))
    assert found.n == 8


def of_seeds(folder: Path, shifts: Sequence[float]) -> partial[Summary]:
    """Seeds whose LoRA at NF4 has these shifts, give or take 0.02 an item; the rest alike."""
    for seed, shift in enumerate(shifts):
        for adapter, known in VARIANTS.items():
            for precision, same in known.items():
                own = shift if (adapter, precision) == ("lora", "nf4") else same
                noise = [0.02 * (-1) ** ((item + seed) // 2) for item in range(8)]
                utility = [x + y for x, y in zip(shifted(own), noise, strict=True)]
                evaluate(folder, cell(adapter, precision, seed), utility=utility)
    return partial(total, folder, seeds=len(shifts))


def test_seeds_are_compared_with_themselves_and_gaps_are_left_out(folder: Path) -> None:
    """Of three seeds one variant diverged in the first and the other in the second."""
    drop = of_seeds(folder, (0.01, 0.0, 0.02))("drop")
    assert (drop.seeds, drop.corrected, drop.value) == (3, False, pytest.approx(11))
    assert drop.p is not None and drop.p < 0.01
    of_three = of_seeds(folder, (0.0, 0.1, 0.2))
    evaluate(folder, cell("lora", "nf4", 0), status="diverged")
    evaluate(folder, cell("full", "nf4", 1), status="diverged")
    level = of_three("level")
    assert (level.seeds, level.p, level.value) == (1, None, pytest.approx(30))
    evaluate(folder, cell("full", "nf4", 2), status="diverged")
    assert of_three("level") == absent(NO_COMMON_SEED)


def test_reversions_are_subtracted_draw_by_draw_and_not_tested(folder: Path) -> None:
    found = total(folder, "level", metric=NLL)  # 0 minus 1 / (2.5 - 0.5)
    assert (found.value, found.low, found.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert found.p is None


def test_distances_from_zero_are_taken_of_each_term(folder: Path) -> None:
    for adapter, utility in (("full", shifted(-1)), ("lora", shifted(0))):
        evaluate(folder, cell(adapter, "nf4"), utility=utility)
    found = total(folder, "nearer_zero", distance=True)
    assert found.value == pytest.approx(abs(45 - 100) - 45)
    assert found.error > 0.1  # |x| undoes the pairing: one rises where the other falls


def test_scopes() -> None:
    assert {scope_of(name) for name in ("bf16", "int8", "rtn5", "rtn3g64m", "rtn4m")} == {None}
    assert {scope_of(name) for name in ("nf4", "fp4", "gptq4", "rtn4g128")} == {"four_bit"}
    assert {scope_of(name) for name in ("rtn3", "rtn3g64", "gptq3")} == {"coarsest"}


TEST = "mini,news,adapters,utility,npo_gdr,lora,nf4,full,nf4,7,2,12,0.001,0.02,0.4,5,64,3,n < 10"
RIVALS = {
    key(adapter, "nf4", metric): number(-value if metric == "privleak" and value == 20 else value)
    for adapter, value in (("lora", 20.0), ("full", 10.0))
    for metric in GOALS
}


def written(folder: Path, *rows: str) -> Path:
    (folder / "tests.csv").write_text("\n".join([",".join(TESTS_TABLE), *rows]) + "\n", "utf-8")
    return folder / "tests.csv"


@pytest.mark.parametrize(("word", "p"), [("0.02", 0.02), ("one seed", None), ("undefined", None)])
def test_tests_of_variants_are_read_both_ways(tmp_path: Path, word: str, p: float | None) -> None:
    other = TEST.replace("adapters", "quantization")
    pair = key("lora", "nf4"), key("full", "nf4")
    found = Summary(7, 2, 12, 3, n=64, note="n < 10", minimum_effect=5, p=p)
    turned = Summary(-7, -12, -2, 3, n=64, note="n < 10", minimum_effect=5, p=p)
    path = written(tmp_path, TEST.replace("0.001,0.02", f"{word},{word}"), other)
    assert read_tests(path) == {pair: found, pair[::-1]: turned}
    gone = TEST.replace("7,2,12,0.001,0.02,0.4,5,64,3", "diverged,,,,,,,,0")
    assert read_tests(written(tmp_path, gone))[pair].note == "the difference is diverged; n < 10"


@pytest.mark.parametrize(
    ("old", "new", "winner"),
    [
        ("", "", key("lora", "nf4")),
        ("utility", "verbmem", key("full", "nf4", "verbmem")),
        ("utility", "privleak", key("full", "nf4", "privleak")),
        ("utility", "nll_forget", key("lora", "nf4", "nll_forget")),
        (",0.02,", ",0.2,", None),  # after Holm's correction it is chance
        (",0.001,0.02,", ",one seed,one seed,", None),
        ("adapters", "quantization", None),
        ("utility", "auc", None),  # not in the table
    ],
)
def test_the_better_stands_out(tmp_path: Path, old: str, new: str, winner: Key | None) -> None:
    path = written(tmp_path, TEST.replace(old, new) if old else TEST)
    assert better(path, RIVALS) == ({winner} if winner else set())


# --- The published numbers as data, the errors that their items imply, and ours beside them -------

PUBLISHED = ROOT / "resources/published"
CELLS = set(product(("books", "news"), ("ga_gdr", "ga_klr", "npo_gdr", "npo_klr")))


def test_the_table_is_whole_and_as_printed() -> None:
    table = published.read_table(PUBLISHED)
    assert len(table) == 2 * 4 * 4 * 4
    assert {key[:2] for key in table} == CELLS
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
    assert published.read_retrain_aucs(PUBLISHED) == {"books": 0.5393, "news": 0.4772}


def test_errors_by_hand() -> None:
    assert published.score_error(50, 100) == 5.0  # sqrt(0.25 / 100)
    assert published.score_error(80, 64) == pytest.approx(5.0)  # 0.4 / 8
    assert published.score_error(0, 100) == published.score_error(100, 100) == 0.0
    # Hanley and McNeil's. A = 1/2: Q1 = Q2 = 1/3, so (1/4 + 198/12) / 10000.
    assert published.auc_error(0.5, 100, 100) == pytest.approx(math.sqrt(16.75 / 10_000))
    # A = 0.8, n 2, m 3: Q1 = 2/3, Q2 = 1.28/1.8; the terms 0.16, Q1 - 0.64 and 2 (Q2 - 0.64).
    terms = 0.16 + (2 / 3 - 0.64) + 2 * (1.28 / 1.8 - 0.64)
    assert published.auc_error(0.8, 2, 3) == pytest.approx(math.sqrt(terms / 6))
    assert published.auc_error(0.0, 100, 100) == published.auc_error(1.0, 100, 100) == 0.0
    assert published.privleak_error(0, 0.5, 200) == pytest.approx(
        200 * published.auc_error(0.5, 100, 100)
    )
    assert published.privleak_error(-50, 0.5, 200) == pytest.approx(
        200 * published.auc_error(0.25, 100, 100)
    )


def test_every_published_number_stands_beside_ours(tmp_path: Path) -> None:
    ours = {key("lora", "bf16"): number(50), key("lora", "fp4"): number(50)}
    ours[key("full", "fp4", "privleak")] = missing(diverged=1)
    published.write_beside(tmp_path / "a.csv", ours, published.read_table(PUBLISHED))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as stream:
        found = {tuple(row[:5]): row[5:] for row in csv.reader(stream)}
    assert list(found)[1:] == list(published.read_table(PUBLISHED))
    assert found[key("lora", "bf16")] == ["50", "48.04", "51.96", "48.61", "1.39", "yes", ""]
    assert found[key("lora", "fp4")][3:6] == ["46.4", "3.6", "no"]
    assert found[key("full", "fp4", "privleak")] == ["diverged", "", "", "-87.53", "", "", ""]
    absent = found["books", "ga_gdr", "lora", "fp4", "utility"]
    assert (absent[0], absent[-1]) == ("", published.NOT_RUN)
