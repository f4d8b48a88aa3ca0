"""What the system tells of the GPUs and the CPU."""

from pathlib import Path

import pytest

from qunlearn.run import hardware


def test_the_processor_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(hardware.platform, "processor", lambda: "")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "aarch64")
    assert hardware.cpu_name() == "aarch64"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: A CPU\nflags\t: fpu\n\n" * 2)
    assert hardware.cpu_name() == "A CPU"


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho ' 81559'; echo '[N/A]'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hardware.gpu_bytes() == [81559 * 2**20]
    smi.write_text("#!/bin/sh\nexit 9\n")  # no driver
    assert hardware.gpu_bytes() == []
