"""What computes here, as the system reports it."""

import os
import platform
import re
import subprocess
from pathlib import Path
from shutil import disk_usage

CPUINFO = Path("/proc/cpuinfo")


def gpu_bytes() -> list[int]:
    """The memory of each NVIDIA GPU; none where there is no nvidia-smi."""
    try:
        shown = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    sizes = map(str.strip, shown.stdout.splitlines())
    return [int(size) * 2**20 for size in sizes if size.isdecimal()]


def cpu_name() -> str:
    """The processor's name, as far as the system knows it."""
    try:
        text = CPUINFO.read_text(encoding="utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:(.*)$", text, re.M)
    return (found[1].strip() if found else "") or platform.processor() or platform.machine()


def host_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_bytes(path: Path) -> int:
    """What is free on the disk of `path`."""
    return disk_usage(existing(path)).free


def disk_of(path: Path) -> int:
    """The number of the disk that `path` is on, or would be."""
    return existing(path).stat().st_dev


def existing(path: Path) -> Path:
    """`path`, or its first parent that exists."""
    path = path.absolute()
    return path if path.exists() else existing(path.parent)
