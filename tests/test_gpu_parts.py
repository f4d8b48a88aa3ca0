"""The command for a GPU, in miniature on a CPU: the parts' own code, and the runner's promises."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks import gpu_parts, gpu_runs, step_7b
from benchmarks.write_performance import document
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json


@pytest.mark.parametrize("way", ["lora", "full", "textbook"])
def test_an_update_in_miniature(way: step_7b.Way) -> None:
    rows = 2 if way == "full" else 1
    found = step_7b.measure("tiny", way, rows, updates=2)
    assert found["tokens"] == 2 * rows * 64
    assert found["tokens_a_second"] == pytest.approx(found["tokens"] / found["seconds"])
    assert found["mfu"] is found["peak_gb"] is None  # of a GPU alone


def test_generation_in_miniature(tmp_path: Path) -> None:
    found = gpu_parts.PARTS["evaluation"].run(True, tmp_path)
    assert (found["prompts"], found["questions"]) == (2, 4)
    assert found["speed_up"] == found["one_at_a_time_seconds"] / found["seconds"]


def test_no_part_keeps_another_from_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three processes: one fails, one takes too long, one is done; written after each."""
    parts = {name: gpu_parts.PARTS["tests"] for name in ("unknown", "textbook", "tests")}
    parts["textbook"] = replace(parts["textbook"], limit=2)
    monkeypatch.setattr(gpu_parts, "PARTS", parts)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    gpu_parts.main(tmp_path, miniature=True)
    found = read_json(tmp_path / "gpu.json")["facts"]
    assert found["unknown"]["error"].startswith("exit code 1; see gpu.log")
    assert found["textbook"]["error"] == "not done in 2 s"
    assert {"passed", "failure", "error", "skipped", "not_passed"} < found["tests"].keys()
    assert "## Tests that need a GPU" in (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["gpu.json", "gpu.log", "gpu.md"]
    assert "this code has not met a GPU yet" not in document(tmp_path)


def test_time_that_is_over_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_parts, "MOST", 0)
    gpu_parts.main(tmp_path, only=("lora",), miniature=True)
    assert read_json(tmp_path / "gpu.json")["facts"]["lora"] == {"error": "no time left"}


def test_ratios_and_goals_are_of_what_was_measured() -> None:
    found = {
        "lora": {"seconds": 1.0, "peak_gb": 30.0, "mfu": 0.4},
        "textbook": {"seconds": 2.0, "peak_gb": 50.0},
        "evaluation": {"error": "not done in 90 s"},
    }
    assert [one.ratio for one in gpu_parts.comparisons(found)] == [2.0, 0.6]
    met = {goal["what"]: goal["met"] for goal in gpu_parts.goals(found)}
    assert met == {"An update of LoRA: MFU": "no", "An update of LoRA: peak GB": "yes"}


def test_experiments_run_without_the_packages_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dry run, whose kept tables are compared with themselves."""
    monkeypatch.setattr(gpu_runs, "find_spec", lambda name: None if name == "gptqmodel" else name)
    found = gpu_runs.measure("tiny", tmp_path, "--dry-run")
    assert found["precisions"] == ["bf16", "nf4", "rtn3g64"]
    assert found["identical"] == found["numbers"] > 500


def test_the_wheels_are_pinned() -> None:
    def names(file: str) -> set[str]:
        lines = (ROOT / "envs/pip" / file).read_text(encoding="utf-8").splitlines()
        found = {line.partition("==")[0] for line in lines if line and line[0] != "#"}
        return {re.sub("[-_.]+", "-", name).lower() for name in found}

    assert names("gpu.txt") <= names("constraints.txt") | names("run.txt")


@pytest.mark.skipif(torch.cuda.is_available(), reason="it would begin to measure")
def test_the_command_ends_in_one_line_without_a_gpu() -> None:
    surroundings = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(
        [str(ROOT / "benchmarks/gpu.sh")], env=surroundings, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch("error: torch sees no CUDA GPU here; use .*\n", done.stderr)


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA GPU here; use a machine with one"):
        gpu_parts.main(tmp_path)
