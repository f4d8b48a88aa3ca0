"""Damage and strangers: whatever reads an output compares it, and ends in one clear line."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Snakemake
from small_fuzz import complaint
from test_manifest import cut, flip, made

from qunlearn.run import cli
from qunlearn.run.manifest import Stopwatch, check_inputs, write_manifest
from qunlearn.survival.table import read_survival

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
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
    write_manifest(tmp_path, step="survival", settings={}, inputs={}, stopwatch=Stopwatch())
    flip(tmp_path / "nf4.csv")
    complaint(lambda: read_survival(tmp_path / "nf4.csv"), "nf4.csv: other content")


# --- In a finished experiment ----------------------------------------------------------------


@pytest.fixture
def results(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, times and Snakemake's memory of it included."""
    shutil.copytree(tiny_run, tmp_path, dirs_exist_ok=True, symlinks=True)
    return tmp_path / "results/tiny"


def refusal(snakemake: Snakemake, results: Path, target: str) -> str:
    """What a user sees of a job that cannot make `target`, whose file is then not there."""
    folder, goal = results.parents[1], f"results/tiny/{target}"
    done = snakemake(folder, *TINY, "--show-failed-logs", "--nolock", "--", goal)
    assert done.returncode != 0, done.stderr
    assert "Traceback" not in done.stderr
    lines = {line.strip() for line in done.stderr.splitlines() if line.strip()[:7] == "error: "}
    assert len(lines) == 1, done.stderr
    assert not (folder / goal).exists()
    return lines.pop()


def test_a_truncated_model_is_not_quantized(results: Path, snakemake: Snakemake) -> None:
    cut(results / f"unlearned/{FULL}/model.safetensors")
    shutil.rmtree(results / f"quantized/{FULL}/nf4")
    told = refusal(snakemake, results, f"quantized/{FULL}/nf4")
    file = f"results/tiny/unlearned/{FULL}/model.safetensors"
    assert told.startswith(f"error: {file}: ")
    assert "bytes instead of" in told
    assert f"delete results/tiny/unlearned/{FULL} and give the command again" in told


def test_a_flipped_byte_of_a_corpus_is_not_asked(results: Path, snakemake: Snakemake) -> None:
    flip(results / "data/news/raw/forget.json")
    shutil.rmtree(results / f"eval/{LORA}/nf4")
    told = refusal(snakemake, results, f"eval/{LORA}/nf4/metrics.json")
    assert told.startswith("error: results/tiny/data/news/raw/forget.json: other content than when")


def copy_metrics(results: Path) -> None:
    source = results / f"eval/{LORA}/nf4/metrics.json"
    content = json.loads(source.read_text(encoding="utf-8"))
    content["metrics"]["verbmem"]["value"] = 12.5
    (results / f"eval/{FULL}/nf4/metrics.json").write_text(json.dumps(content), encoding="utf-8")


def copy_folder(results: Path) -> None:
    shutil.rmtree(results / f"eval/{FULL}/nf4")
    source, there = results / f"eval/{LORA}/nf4", results / f"eval/{FULL}/nf4"
    shutil.copytree(source, there, copy_function=shutil.copyfile)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (copy_metrics, "metrics.json: "),
        (copy_folder, "manifest.json: its input 'model' was not what results/tiny/quantized"),
    ],
)
def test_a_foreign_evaluation_is_in_no_table_until_it_is_made_anew(
    results: Path, snakemake: Snakemake, change: Callable[[Path], None], told: str
) -> None:
    known = (results / "tables/metrics.csv").read_bytes()
    change(results)
    line = refusal(snakemake, results, "tables/metrics.csv")
    assert line.startswith(f"error: results/tiny/eval/{FULL}/nf4/{told}")
    shutil.rmtree(results / f"eval/{FULL}/nf4")
    done = snakemake(results.parents[1], *TINY, "--", "results/tiny/tables/metrics.csv")
    assert done.returncode == 0, done.stderr
    assert (results / "tables/metrics.csv").read_bytes() == known
