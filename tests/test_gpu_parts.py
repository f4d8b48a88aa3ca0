"""The command for a GPU, in miniature on a CPU: the parts' own code, and the runner's promises."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks import gpu_parts, step_7b
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


def test_without_a_gpu_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(InputError, match="no CUDA GPU here; use a machine with one"):
        gpu_parts.main(tmp_path)
