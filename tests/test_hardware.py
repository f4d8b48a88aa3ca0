"""What the system tells of the GPUs and the CPU."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qunlearn import hardware

X86 = "processor\t: 0\nmodel name\t: A CPU\nflags\t\t: fpu sse2 avx fma avx2{more}\n\n"
Tell = Callable[[str], None]


@pytest.fixture
def cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """Lets /proc/cpuinfo say something else, on a machine without GPUs."""
    monkeypatch.setattr(hardware, "_gpus", lambda field: [])
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(hardware.platform, "processor", lambda: "")

    def tell(text: str) -> None:
        (tmp_path / "cpuinfo").write_text(text, encoding="utf-8")

    return tell


def test_one_name_and_other_instructions_are_another_processor(cpu: Tell) -> None:
    cpu(X86.format(more="") * 2)
    assert hardware.computes() == "x86_64 A CPU avx avx2 fma"
    cpu(X86.format(more=" avx512f avx512_bf16") * 2)
    assert hardware.computes() == "x86_64 A CPU avx avx2 avx512_bf16 avx512f fma"


def test_a_processor_without_a_name(cpu: Tell) -> None:
    cpu("processor\t: 0\nFeatures\t: fp asimd bf16\n")
    assert hardware.computes() == "x86_64 x86_64 asimd bf16"


def test_a_system_that_tells_nothing(cpu: Tell) -> None:
    assert hardware.computes() == "x86_64 x86_64"
    assert hardware.cpu_name() == "x86_64"


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text(
        "#!/bin/sh\ncase $1 in\n*=name) echo 'B 80GB'; echo 'A 40GB';;\n"
        "*=memory.total) echo 81559; echo '[N/A]';;\nesac\n"
    )
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.computes() == "A 40GB, B 80GB"
    assert hardware.gpu_bytes() == [81559 * 2**20]
    smi.write_text("#!/bin/sh\nexit 9\n")  # no driver
    assert hardware.gpu_bytes() == []
