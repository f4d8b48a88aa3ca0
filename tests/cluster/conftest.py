"""Starts Slurm before the first test of this folder and ends it after the last."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.small_slurm import DRIVER

HERE = Path(__file__).parent


@pytest.fixture(scope="session", autouse=True)
def slurm_is_up() -> Iterator[None]:
    """A Slurm with one node of four processors, as it says, and six GPUs that are none."""
    if not DRIVER.exists():
        pytest.fail("no .venv-driver: run make setup-driver, or make test-slurm, which does")
    with tempfile.TemporaryDirectory(prefix="slurm-") as parent:
        Path(parent).chmod(0o755)  # munge's socket is for everyone
        folder = Path(parent) / "slurm"
        try:
            up = subprocess.run([HERE / "slurm_up.sh", folder], capture_output=True, text=True)
            if up.returncode:
                pytest.fail(up.stderr.strip() or "slurm_up.sh failed")
            yield
        finally:
            down = [HERE / "slurm_down.sh", folder]
            subprocess.run(down, check=True, start_new_session=True)  # out of reach of Ctrl-C
