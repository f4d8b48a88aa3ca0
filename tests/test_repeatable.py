"""What is asked of a GPU so that a training can be repeated, and what the manifests tell of it."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch

from qunlearn.run.manifest import device_name, instructions
from qunlearn.training.trainer import ask_for_repeatable_kernels

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@pytest.fixture
def _torch_as_it_was() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.mark.usefixtures("_torch_as_it_was")
@pytest.mark.parametrize("gpu", [False, True])
def test_deterministic_kernels_on_a_gpu_alone(gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    ask_for_repeatable_kernels()
    assert torch.are_deterministic_algorithms_enabled() is gpu
    assert torch.is_deterministic_algorithms_warn_only_enabled() is gpu
    assert torch.utils.deterministic.fill_uninitialized_memory is not gpu


@pytest.mark.parametrize("own", [None, ":16:8"])
def test_every_script_sets_the_workspace_of_cublas_unless_the_user_has(own: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != WORKSPACE}
    told = subprocess.run(
        [sys.executable, "-c", f"import qunlearn.run.cli, os; print(os.environ['{WORKSPACE}'])"],
        env=environment | ({WORKSPACE: own} if own else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == (own or ":4096:8")


def test_what_the_manifests_tell_of_the_processor() -> None:
    known = instructions()
    if torch.cuda.is_available():
        assert known is None
    else:
        assert known in (
            capability := torch.backends.cpu.get_cpu_capability(),
            f"{capability}_BF16",
        )
    assert device_name()


@pytest.mark.skipif(
    torch.cuda.is_available() or not torch.backends.cpu.get_cpu_capability().startswith("AVX"),
    reason="no processor with AVX computes",
)
@pytest.mark.parametrize(("forbidden", "known"), [("avx2", "AVX2"), ("default", "DEFAULT")])
def test_forbidden_instructions_are_not_named(forbidden: str, known: str) -> None:
    environment = os.environ | {"ATEN_CPU_CAPABILITY": forbidden, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    program = "import torch; from qunlearn.run.hardware import instructions; print(instructions())"
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == known
