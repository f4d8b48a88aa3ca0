"""The Python that jobs run on, where Snakemake runs on another: docs/slurm.md says why."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from qunlearn.run.errors import InputError

NEEDED = "torch"  # what the jobs' environment has, and Snakemake's need not have


def job_python(root: Path) -> str:
    """Snakemake's own Python where it can run jobs, else that of `make setup`.

    Args:
        root: of the project.
    """
    made = root / ".venv/bin/python"
    return str(made) if find_spec(NEEDED) is None and made.exists() else sys.executable


def run_on(python: str, module: str, argument: str, text: str) -> str:
    """What a module of this package prints when the jobs' Python runs it.

    Args:
        text: for its standard input.

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
