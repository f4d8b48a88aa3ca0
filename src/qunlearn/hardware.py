"""What computes here, as the system tells it: the names go into cache keys and manifests."""

import platform
import re
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
_VECTORS = re.compile(r"avx.*|fma|amx.*|asimd.*|sve.*|bf16|i8mm")


def gpu_bytes() -> list[int]:
    """The memory of each NVIDIA GPU; none where there is no nvidia-smi."""
    return [int(size) * 2**20 for size in _gpus("memory.total") if size.isdecimal()]


def computes() -> str:
    """What last bits depend on: the GPUs' names, else the CPU's and its vector instructions.

    Virtual machines on several kinds of CPU can show one and the same name.
    """
    if names := sorted(set(_gpus("name"))):
        return ", ".join(names)
    # On ARM the field is called Features.
    flags = (_cpuinfo("flags") or _cpuinfo("Features")).split()
    return " ".join([platform.machine(), cpu_name(), *sorted(filter(_VECTORS.fullmatch, flags))])


def cpu_name() -> str:
    """The processor's name, as far as the system knows it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _gpus(field: str) -> list[str]:
    """A property of each NVIDIA GPU, in nvidia-smi's words."""
    try:
        told = subprocess.run(
            ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in told.stdout.splitlines()]


def _cpuinfo(field: str) -> str:
    """What Linux tells of the first processor; nothing elsewhere, or if it does not know."""
    try:
        text = CPUINFO.read_text(encoding="utf-8")
    except OSError:
        return ""
    found = re.search(rf"^{field}\s*:(.*)$", text, re.M)
    return found[1].strip() if found else ""
