"""What computes here, what is asked of it, and what the manifests say of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

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


def test_make_setups_python_runs_the_jobs_of_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert hardware.job_python(tmp_path) == sys.executable
    monkeypatch.setattr(hardware, "NEEDED", "no_such_package")
    assert hardware.job_python(tmp_path) == str(python)
    assert hardware.job_python(tmp_path / "elsewhere") == sys.executable


@pytest.fixture
def _torch_as_it_was() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.mark.usefixtures("_torch_as_it_was")
@pytest.mark.parametrize("gpu", [False, True])
def test_deterministic_kernels_on_a_gpu_alone(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    use_deterministic_kernels()
    assert torch.are_deterministic_algorithms_enabled() is gpu
    assert torch.is_deterministic_algorithms_warn_only_enabled() is gpu
    assert torch.utils.deterministic.fill_uninitialized_memory is not gpu


@pytest.mark.skipif(
    torch.cuda.is_available() or not torch.backends.cpu.get_cpu_capability().startswith("AVX"),
    reason="no processor with AVX computes",
)
def test_forbidden_instructions_are_not_named() -> None:
    program = "import torch; from qunlearn.run.hardware import instructions; print(instructions())"
    environment = os.environ | {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, "-c", program]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "AVX2"
    capability = torch.backends.cpu.get_cpu_capability()
    assert hardware.instructions() in (capability, f"{capability}_BF16")
