"""The Python that jobs run on, where Snakemake runs on another: docs/slurm.md tells why."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from qunlearn.run.errors import InputError

NEEDED = "torch"  # what the jobs' environment has, and Snakemake's need not have
PATIENCE = 60  # seconds; a shared disk may be slow


def interpreter(root: Path) -> str:
    """Snakemake's own Python where it can run jobs, else that of `make setup`.

    Args:
        root: of the project.
    """
    made = root / ".venv/bin/python"
    return str(made) if find_spec(NEEDED) is None and made.exists() else sys.executable


def check(python: str) -> None:
    """Complain about a Python that cannot run the jobs.

    Raises:
        InputError: there is none of that name, or it lacks torch.
    """
    advice = "run make setup, or set it to the Python of an environment with envs/pip/run.txt"
    look = f"import sys, importlib.util as u; sys.exit(u.find_spec('{NEEDED}') is None)"
    try:
        looked = subprocess.run([python, "-c", look], capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InputError(
            f"config key 'python': {python} does not run ({error}); {advice}"
        ) from None
    if looked.returncode:
        raise InputError(
            f"config key 'python': {python} has no {NEEDED}, and the jobs run on it; {advice}"
        )
