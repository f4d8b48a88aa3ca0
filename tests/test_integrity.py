"""Damage and strangers: whatever reads an output compares it, and ends in one clear line."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Snakemake
from small_fuzz import complaint
from small_workflow import TINY
from test_manifest import cut, flip, made

from qunlearn.run import cli
from qunlearn.run.manifest import check_inputs, write_manifest
from qunlearn.survival.table import read_survival

FULL, LORA = "news/npo_klr/full/seed0", "news/npo_klr/lora/seed0"
SCRIPTS = ROOT / "workflow/scripts"


def test_every_script_compares_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in SCRIPTS.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "@run_script\ndef main(" in text, file
        assert "evaluations: Path" not in text or "check_evaluations(" in text, file
    whole, damaged = made(tmp_path / "whole"), made(tmp_path / "damaged")
    flip(damaged / "raw/forget.json")

    def main(corpus: tuple[Path, ...], output: Path, base: Path | None = None) -> None:
        raise AssertionError("it went to work")

    arguments = ["--corpus", str(whole), str(damaged), "--output", str(damaged)]
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    monkeypatch.setattr(cli, "listen", lambda handler: None)  # in the tests' own process
    monkeypatch.delenv("SNAKEMAKE_PID", raising=False)
    main.__module__ = "__main__"
    with pytest.raises(SystemExit) as ended:
        cli.run_script(main)
    told = capsys.readouterr().err
    assert told.startswith(f"error: {damaged}/raw/forget.json: other content"), told
    assert told.count("\n") == 1
    assert ended.value.code == 2
    check_inputs({"output": damaged, "source": whole, "base": None, "seed": 3})


def test_a_survival_table_is_compared_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "nf4.csv").write_text("layer,module\n")
    write_manifest(tmp_path, step="survival", settings={}, inputs={})
    flip(tmp_path / "nf4.csv")
    complaint(lambda: read_survival(tmp_path / "nf4.csv"), "nf4.csv: other content")


# --- In a finished experiment ----------------------------------------------------------------


def cut_model(results: Path) -> None:
    cut(results / f"unlearned/{FULL}/model.safetensors")
    shutil.rmtree(results / f"quantized/{FULL}/nf4")


def flip_corpus(results: Path) -> None:
    flip(results / "data/news/raw/forget.json")
    shutil.rmtree(results / f"eval/{LORA}/nf4")


def change_number(results: Path) -> None:
    file = results / f"eval/{FULL}/nf4/metrics.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["metrics"]["verbmem"]["value"] = 12.5
    file.write_text(json.dumps(content), encoding="utf-8")


def copy_evaluation(results: Path) -> None:
    source, there = results / f"eval/{LORA}/nf4", results / f"eval/{FULL}/nf4"
    shutil.rmtree(there)
    shutil.copytree(source, there, copy_function=shutil.copyfile)


TABLE = "tables/metrics.csv"
FOREIGN = "manifest.json: its input 'model' was not what results/tiny/quantized"
DAMAGES: list[tuple[Callable[[Path], None], str, str]] = [
    (cut_model, f"quantized/{FULL}/nf4", f"unlearned/{FULL}/model.safetensors: "),
    (flip_corpus, f"eval/{LORA}/nf4/metrics.json", "data/news/raw/forget.json: other content than"),
    (change_number, TABLE, f"eval/{FULL}/nf4/metrics.json: "),
    (copy_evaluation, TABLE, f"eval/{FULL}/nf4/{FOREIGN}"),
]


@pytest.mark.parametrize(("damage", "target", "line"), DAMAGES)
def test_what_is_damaged_or_foreign_is_not_read(
    damage: Callable[[Path], None],
    target: str,
    line: str,
    tiny_run: Path,
    tmp_path: Path,
    snakemake: Snakemake,
) -> None:
    """A user sees one line of the job, which does not make its output."""
    shutil.copytree(tiny_run, tmp_path, dirs_exist_ok=True, symlinks=True)
    results, goal = tmp_path / "results/tiny", ("--", f"results/tiny/{target}")
    known = (results / TABLE).read_bytes()
    damage(results)
    done = snakemake(tmp_path, *TINY, "--show-failed-logs", "--nolock", *goal)
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    lines = {each.strip() for each in done.stderr.splitlines() if each.strip()[:7] == "error: "}
    assert len(lines) == 1 and lines.pop().startswith(f"error: results/tiny/{line}"), done.stderr
    assert not (results / target).exists()
    if damage is copy_evaluation:  # made anew, it is what it was
        shutil.rmtree(results / f"eval/{FULL}/nf4")
        done = snakemake(tmp_path, *TINY, *goal)
        assert done.returncode == 0, done.stderr
        assert (results / TABLE).read_bytes() == known
