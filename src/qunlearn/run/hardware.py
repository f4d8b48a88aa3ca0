"""What computes here, as the system reports it."""

import os
import platform
import re
import resource
import subprocess
import sys
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


def device_name() -> str:
    """The GPU's name when torch is loaded and sees one, else the CPU's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return cpu_name()


def instructions() -> str | None:
    """The vector instructions that torch's kernels use here, e.g. AVX2 or AVX512_BF16.

    None without torch, and where a GPU computes.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.cuda.is_available():
        return None
    found = str(torch.backends.cpu.get_cpu_capability())
    # Products in bf16 are oneDNN's, which has its own idea of what the processor may be asked.
    bf16 = torch.cpu._is_avx512_bf16_supported() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return f"{found}_BF16" if found == "AVX512" and bf16 else found


def peak_memory_mib() -> int:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024
