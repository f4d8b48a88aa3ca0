"""What a machine has, and what a first try lacks: a newer Python, a compiler, a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT

from qunlearn.run import hardware
from qunlearn.training.trainer import use_deterministic_kernels


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho ' 81559'; echo '[N/A]'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpu_bytes() == [81559 * 2**20]
    smi.write_text("#!/bin/sh\nexit 9\n")  # no driver
    assert hardware.gpu_bytes() == []


def test_make_setups_python_runs_the_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert hardware.job_python(tmp_path) == sys.executable
    monkeypatch.setattr(hardware, "NEEDED", "no_such_package")
    assert hardware.job_python(tmp_path) == str(python)
    assert hardware.job_python(tmp_path / "elsewhere") == sys.executable


@pytest.mark.parametrize("gpu", [False, True])
def test_deterministic_kernels_on_a_gpu_alone(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda on, **_: asked.append(on))
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    use_deterministic_kernels()
    assert asked == [True] * gpu
    assert torch.utils.deterministic.fill_uninitialized_memory is not gpu


def run(*words: object, **surroundings: str) -> tuple[int, str]:
    """Exit code and errors of a command in the project's folder."""
    command, place = [str(word) for word in words], os.environ | surroundings
    done = subprocess.run(command, cwd=ROOT, env=place, capture_output=True, text=True)
    return done.returncode, done.stderr or done.stdout


@pytest.mark.parametrize(
    ("compiler", "line"), [("no-such-cc", "no C compiler"), ("sh", "without a network")]
)
def test_a_set_up_that_failed_says_what_it_lacked(compiler: str, line: str) -> None:
    code, said = run(ROOT / "envs/why_not.sh", CC=compiler)
    assert code == 1
    assert said.startswith("error: set-up: ") and line in said


def test_a_python_that_is_too_old_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    old = tmp_path / "python3.10"
    old.write_text('#!/bin/sh\nexec python3 -c "import sys; sys.version_info = 3, 10; $2"\n')
    old.chmod(0o755)
    code, said = run("make", "setup", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}")
    assert code == 2 and "error: Python 3.11 or newer is needed" in said
    assert not (tmp_path / "venv").exists()


def test_snakemake_without_the_environment_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['numpy'] = None\n")
    path = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    code, said = run("python", "-m", "snakemake", "-n", PYTHONPATH=path)
    assert code != 0
    assert "has no numpy; run `make setup`" in said
