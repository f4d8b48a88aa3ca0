"""What computes here, as the system reports it; and the Python of the jobs, which may be another
than Snakemake's: docs/slurm.md says why."""

import os
import platform
import re
import resource
import subprocess
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from qunlearn.run.errors import InputError

CPUINFO = Path("/proc/cpuinfo")
NEEDED = "torch"  # what the jobs' environment has, and Snakemake's need not have


def gpu_bytes() -> list[int]:
    """The memory of each NVIDIA GPU; none where there is no nvidia-smi."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return []
    return [int(size) * 2**20 for size in done.stdout.split() if size.isdecimal()]


def host_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cpu_name() -> str:
    """The processor's name, as far as the system knows it."""
    with suppress(OSError):
        text = CPUINFO.read_text(encoding="utf-8")
        if found := re.search(r"^model name\s*:\s*(\S.*)$", text, re.M):
            return found[1].strip()
    return platform.processor() or platform.machine()


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
    # Products in bf16 are oneDNN's, which decides for itself which instructions it may use.
    bf16 = torch.cpu._is_avx512_bf16_supported() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return f"{found}_BF16" if found == "AVX512" and bf16 else found


def peak_memory_mib() -> int:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024


def job_python(root: Path) -> str:
    """Snakemake's own Python where it can run jobs, else that of `make setup` in the project."""
    made = root / ".venv/bin/python"
    return str(made) if find_spec(NEEDED) is None and made.exists() else sys.executable


def run_on(python: str, module: str, argument: str, text: str) -> str:
    """What a module of this package prints when the jobs' Python runs it with `text` as its input.

    Raises:
        InputError: the module's own, or `python` cannot run it.
    """
    surroundings = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    command = [python, "-m", module, argument]
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=surroundings)
        code, *_, said = done.returncode, "", *done.stderr.splitlines()
    except OSError as error:
        code, said = 1, str(error.strerror)
    if code == 0:
        return done.stdout
    if said.startswith("error: "):
        raise InputError(said.removeprefix("error: "))
    raise InputError(
        f"config key 'python': {python} cannot run the jobs ({said}); run make setup, or set it to "
        "the Python of an environment with envs/pip/run.txt"
    )
