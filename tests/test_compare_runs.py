"""Two runs side by side: what is told of them, and with which exit code."""

import csv
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from scipy import stats
from small_comparisons import CELLS, CHAIN, ITEMS, LORA, run, scored

from qunlearn.comparing.divergence import compare_bytes
from qunlearn.comparing.runs import Run, check_same_experiment
from qunlearn.comparing.scores import Row, Verdict, compare_scores
from qunlearn.comparing.told import told
from qunlearn.errors import InputError
from qunlearn.files import read_jsonl, write_jsonl

SCRIPT = ROOT / "workflow/scripts/compare_runs.py"
SAME = dict.fromkeys(("verbmem", "knowmem", "utility", "privleak", "auc"), Verdict.IDENTICAL)


def rows(first: Path, second: Path) -> dict[tuple[str, str], Row]:
    found = compare_scores(Run(first), Run(second))
    return {(row.cell, row.metric): row for row in found}


def script(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def report(first: Path, second: Path) -> str:
    runs = Run(first), Run(second)
    return told(*runs, compare_bytes(*runs), compare_scores(*runs))


@pytest.fixture
def a(tmp_path: Path) -> Path:
    return run(tmp_path / "a")


class TestScores:
    def test_a_run_is_identical_to_itself(self, a: Path) -> None:
        assert {row.verdict for row in rows(a, a).values()} == {Verdict.IDENTICAL}
        assert len(rows(a, a)) == len(CELLS) * 7

    def test_what_all_items_show_is_outside_noise(self, a: Path, tmp_path: Path) -> None:
        """8 differences of -10 points."""
        found = rows(a, run(tmp_path / "b", rouge=[0.6] * ITEMS, utility=[0.5] * ITEMS))
        row = found[LORA, "verbmem"]
        assert (row.first, row.second) == (pytest.approx(50), pytest.approx(60))
        assert (row.low, row.high) == (pytest.approx(-10), pytest.approx(-10))
        assert (row.p, row.p_holm, row.tests) == (0, 0, 2)  # VerMem and KnowMem; no other
        assert row.verdict is Verdict.OUTSIDE
        assert found[LORA, "utility"].verdict is Verdict.IDENTICAL

    def test_what_items_disagree_about_is_within(self, a: Path, tmp_path: Path) -> None:
        """Four items 20 points up, four 10 down."""
        row = rows(a, run(tmp_path / "b", rouge=[0.7, 0.4] * 4))[LORA, "verbmem"]
        assert row.distance == pytest.approx(5)
        assert row.low is not None and row.high is not None
        assert row.low < 0 < row.high
        assert row.verdict is Verdict.WITHIN

    def test_a_p_that_holm_takes_away_is_within(self, tmp_path: Path) -> None:
        """Half of the items 20 points up, half 2: t = 3.2 of 7 degrees of freedom, 7 times."""
        first, second = tmp_path / "a", tmp_path / "b"
        for folder, rouge, nll in (
            (first, [0.5] * ITEMS, [2.0] * ITEMS),
            (second, [0.7, 0.52] * 4, [2.2, 2.02] * 4),
        ):
            run(folder, rouge=rouge, nll=nll)
            scored(folder, "news/target/bf16", rouge=rouge, utility=[0.5] * ITEMS)
        found = rows(first, second)
        tested = [row for row in found.values() if row.p is not None]
        t = 11 / (9 / math.sqrt(7))
        assert [row.p for row in tested] == pytest.approx([2 * stats.t.sf(t, 7)] * 7, rel=0.1)
        assert [row.p_holm for row in tested] == pytest.approx([7 * (tested[0].p or 0)] * 7)
        assert {row.verdict for row in tested} == {Verdict.WITHIN}

    def test_below_the_tables_digits_nothing_is_tested(self, a: Path, tmp_path: Path) -> None:
        row = rows(a, run(tmp_path / "b", nll=[2.000001] * ITEMS))[LORA, "nll_forget"]
        assert (row.verdict, row.p) == (Verdict.EQUAL, None)

    def test_privleak_goes_by_its_auc(self, a: Path, tmp_path: Path) -> None:
        """In A no text is told from another (AUC 0.5, as retrain's), in B all are (AUC 1)."""
        found = rows(a, run(tmp_path / "b", forget=[-2.0] * ITEMS))
        auc, privleak = found[LORA, "auc"], found[LORA, "privleak"]
        assert (auc.first, auc.second, auc.verdict) == (0.5, 1.0, Verdict.OUTSIDE)
        assert (privleak.first, privleak.second) == (0.0, 100.0)
        assert (privleak.p, privleak.verdict) == (None, Verdict.OUTSIDE)

    def test_privleak_goes_by_retrain_s_auc_too(self, a: Path, tmp_path: Path) -> None:
        b = run(tmp_path / "b")
        scored(b, "news/retrain/bf16", forget=[-2.0] * ITEMS)
        found = rows(a, b)
        assert found[LORA, "auc"].verdict is Verdict.IDENTICAL
        assert found[LORA, "privleak"].second == -50.0
        assert found[LORA, "privleak"].verdict is Verdict.OUTSIDE

    def test_diverged_in_one_run(self, a: Path, tmp_path: Path) -> None:
        b, c = (run(tmp_path / name, status="diverged") for name in "bc")
        assert rows(a, b)[LORA, "verbmem"].verdict is Verdict.DIVERGED
        assert math.isinf(rows(a, b)[LORA, "verbmem"].distance)
        assert rows(c, b)[LORA, "verbmem"].verdict is Verdict.IDENTICAL
        assert "diverged" in report(a, b)

    def test_the_spread_of_seeds(self, tmp_path: Path) -> None:
        """A has 50 and 60 (variance 50), B 50 and 64 (variance 98)."""
        second = LORA.replace("seed0", "seed1")
        for name, score in (("a", 0.6), ("b", 0.64)):
            scored(run(tmp_path / name), second, rouge=[score] * ITEMS)
        row = rows(tmp_path / "a", tmp_path / "b")[second, "verbmem"]
        assert row.seed_spread == pytest.approx(math.sqrt(74))
        assert rows(tmp_path / "a", tmp_path / "b")[CELLS[0], "verbmem"].seed_spread is None

    def test_other_items(self, a: Path, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=f"cell '{LORA}' was asked other items for verbmem"):
            rows(a, run(tmp_path / "b", rouge=[0.5] * 9, utility=[0.5] * ITEMS))


class TestDivergence:
    def test_it_begins_where_the_same_was_read(self, a: Path, tmp_path: Path) -> None:
        later = {folder: f"other {folder}" for folder in list(CHAIN)[1:]}
        b = run(tmp_path / "b", texts=later)
        found = {each.name: each for each in compare_bytes(Run(a), Run(b))}
        assert (found["corpus"].same, found["corpus"].different) == (1, 0)
        assert found["base"].example == "models/news/base/weights"
        assert found["base"].origins == ["models/news/base"]
        for name in ("target", "unlearned"):
            assert (found[name].different, found[name].origins) == (1, [])
        assert list(found) == ["corpus", "base", "target", "unlearned", "evaluation"]
        assert "They part at models/news/base: read the same" in report(a, b)

    def test_nowhere(self, a: Path) -> None:
        assert "They part nowhere." in report(a, a)
        assert "Same settings, corpora, code, packages" in report(a, a)

    def test_surroundings_and_what_is_missing(self, a: Path, tmp_path: Path) -> None:
        b = run(tmp_path / "b", cells=CELLS[:2], facts={"threads": "2", "instructions": "AVX2"})
        text = report(a, b)
        assert "| threads | 1 | 1, 2 |" in text  # the evaluations' own are 1
        assert "| instructions | – | AVX2 |" in text
        assert f"Cells that B lacks: {LORA}." in text

    def test_a_manifest_in_records_stands_for_what_is_gone(self, a: Path, tmp_path: Path) -> None:
        b = run(tmp_path / "b")
        gone = b / "models/news/target"
        (b / "records/models/news/target").mkdir(parents=True)
        (gone / "manifest.json").rename(b / "records/models/news/target/manifest.json")
        shutil.rmtree(gone)
        assert "They part nowhere." in report(a, b)


class TestRefusals:
    def complaint(self, first: Path, second: Path) -> str:
        with pytest.raises(InputError) as caught:
            check_same_experiment(Run(first), Run(second))
        return str(caught.value)

    def test_other_settings(self, a: Path, tmp_path: Path) -> None:
        b = run(tmp_path / "b", facts={"settings": {"lr": 0.002}})
        text = self.complaint(a, b)
        assert "not runs of one experiment (data/news: settings.lr is 0.001 and 0.002)" in text

    def test_another_corpus(self, a: Path, tmp_path: Path) -> None:
        b = run(tmp_path / "b", texts={"data/news": "another"})
        assert "(data/news/weights differs)" in self.complaint(a, b)

    def test_another_model_of_the_user_s(self, tmp_path: Path) -> None:
        for name in "ab":
            made = run(tmp_path / name) / "unlearned/news/npo_gdr/lora/seed0/manifest.json"
            content = json.loads(made.read_text())
            content["inputs"]["target"] = name * 64
            made.write_text(json.dumps(content))
        text = self.complaint(tmp_path / "a", tmp_path / "b")
        assert "unlearned/news/npo_gdr/lora/seed0: target, which no step made, differs" in text

    def test_no_run(self, a: Path, tmp_path: Path) -> None:
        done = script(a, tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {tmp_path}: no eval/**/metrics.json; give the results of a finished run, such "
            "as results/mini\n"
        )
        assert done.stdout == ""

    def test_nothing_in_common(self, a: Path, tmp_path: Path) -> None:
        scored(tmp_path / "b", "books/retrain/bf16")
        with pytest.raises(InputError, match="no evaluated cell in common"):
            compare_scores(Run(a), Run(tmp_path / "b"))


def test_a_finished_run_and_a_copy_with_altered_answers(tiny_run: Path, tmp_path: Path) -> None:
    own = tiny_run / "results/tiny"
    copy = shutil.copytree(own, tmp_path / "copy")
    same = script(own, copy)
    assert same.returncode == 0, same.stderr
    assert "They part nowhere." in same.stdout

    cell = "news/npo_klr/lora/seed0/nf4"
    answers = copy / "eval" / cell / "knowmem_forget.jsonl"
    records = read_jsonl(answers)
    assert len(records) == 8
    write_jsonl(answers, [record | {"rougeL": record["rougeL"] + 0.25} for record in records])
    done = script(own, copy, "--output", tmp_path / "rows.csv")
    assert done.returncode == 1, done.stderr
    assert "No step parts by itself" in done.stdout or f"They part at eval/{cell}" in done.stdout
    with (tmp_path / "rows.csv").open() as stream:
        found = {(row["cell"], row["metric"]): row for row in csv.DictReader(stream)}
    changed = [key for key, row in found.items() if row["verdict"] != "identical"]
    assert changed == [(cell, "knowmem")]
    row = found[cell, "knowmem"]
    assert float(row["second"]) - float(row["first"]) == pytest.approx(25)
    assert (row["verdict"], float(row["p"])) == ("outside noise", 0)
