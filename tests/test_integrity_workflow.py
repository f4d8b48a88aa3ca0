"""Damage and strangers in a finished experiment: the job that reads them ends in one clear line."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, Snakemake
from test_manifest import cut, flip

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
FULL, LORA = "news/npo_klr/full/seed0", "news/npo_klr/lora/seed0"


@pytest.fixture
def results(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, times and Snakemake's memory of it included."""
    shutil.copytree(tiny_run, tmp_path, dirs_exist_ok=True, symlinks=True)
    return tmp_path / "results/tiny"


def complaint(snakemake: Snakemake, results: Path, target: str, *more: str) -> str:
    """What a user sees of a job that cannot make `target`, whose file is then not there."""
    folder = results.parents[1]
    goal = f"results/tiny/{target}"
    done = snakemake(folder, *TINY, "--show-failed-logs", "--nolock", *more, "--", goal)
    assert done.returncode != 0, done.stderr
    assert "Traceback" not in done.stderr
    told = [line.strip() for line in done.stderr.splitlines() if line.strip().startswith("error: ")]
    assert len(told) == 1, done.stderr
    assert not (folder / goal).exists()
    return told[0]


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def test_a_truncated_model_is_not_quantized(results: Path, snakemake: Snakemake) -> None:
    cut(results / f"unlearned/{FULL}/model.safetensors")
    remove(results / f"quantized/{FULL}/nf4")
    told = complaint(snakemake, results, f"quantized/{FULL}/nf4")
    file = f"results/tiny/unlearned/{FULL}/model.safetensors"
    assert told.startswith(f"error: {file}: ")
    assert "bytes instead of" in told
    assert f"delete results/tiny/unlearned/{FULL} and give the command again" in told


def in_place(file: Path) -> None:
    flip(file)
    os.utime(file)


@pytest.mark.parametrize("damage", [flip, in_place], ids=["same time", "new time"])
def test_a_flipped_byte_of_a_corpus_is_not_asked(
    results: Path, snakemake: Snakemake, damage: Callable[[Path], None]
) -> None:
    damage(results / "data/news/raw/forget.json")
    remove(results / f"eval/{LORA}/nf4")
    told = complaint(snakemake, results, f"eval/{LORA}/nf4/metrics.json")
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
def test_a_foreign_evaluation_is_in_no_table(
    results: Path, snakemake: Snakemake, change: Callable[[Path], None], told: str
) -> None:
    change(results)
    line = complaint(snakemake, results, "tables/metrics.csv")
    assert line.startswith(f"error: results/tiny/eval/{FULL}/nf4/{told}")


@pytest.mark.parametrize("script", ["analyse.py", "judge_claims.py"])
def test_whatever_reads_evaluations_compares_them(
    tiny_run: Path, tmp_path: Path, script: str
) -> None:
    results = tiny_run / "results/tiny"
    made = json.loads((results / f"eval/{LORA}/nf4/manifest.json").read_text(encoding="utf-8"))
    given = {"experiment": "tiny", "output": tmp_path / "output", "evaluations": results / "eval"}
    if script == "judge_claims.py":
        del given["experiment"]
        given |= {name: results / f"tables/{name}.csv" for name in ("summary", "tests")}
        given |= {"claims": ROOT / "resources/claims.yaml"}
        given |= {"published": ROOT / "resources/published"}
    given |= {name.replace("_", "-"): value for name, value in made["settings"].items()}
    given["verbmem-tokens"] = 9
    flags = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    flags += ["--cells", f"{LORA}/nf4"]
    command = [sys.executable, str(ROOT / "workflow/scripts" / script), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    place = results / f"eval/{LORA}/nf4/manifest.json"
    assert done.stderr.startswith(f"error: {place}: settings.verbmem_tokens is 8 and not 9")
    assert not (tmp_path / "output").exists()


@pytest.mark.slow
def test_what_was_deleted_as_told_is_made_anew(results: Path, snakemake: Snakemake) -> None:
    known = (results / "tables/metrics.csv").read_bytes()
    copy_metrics(results)
    complaint(snakemake, results, "tables/metrics.csv")
    remove(results / f"eval/{FULL}/nf4")
    done: subprocess.CompletedProcess[str] = snakemake(
        results.parents[1], *TINY, "--", "results/tiny/tables/metrics.csv"
    )
    assert done.returncode == 0, done.stderr
    assert (results / "tables/metrics.csv").read_bytes() == known
