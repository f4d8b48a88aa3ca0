"""Being asked to end: exit code, one line, nothing half-written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.run.signals import STARTER

SCRIPT = """
import time
from pathlib import Path
from qunlearn.run.cli import run_script
from qunlearn.run.files import new_folder

def main(output: Path) -> None:
    with new_folder(output) as work:
        (work / "half").touch()
        print("writing", flush=True)
        time.sleep(600)

run_script(main)
"""


def script(output: Path, *around: str, starter: str = "") -> subprocess.Popen[str]:
    """A script that is in the middle of writing `output`.

    Args:
        around: the command that starts it.
        starter: the process that its life hangs on.
    """
    process = subprocess.Popen(
        [*around, sys.executable, "-c", SCRIPT, "--output", str(output)],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), STARTER: starter},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_script_that_is_asked_to_end(number: signal.Signals, tmp_path: Path) -> None:
    process = script(tmp_path / "output")
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert told == f"error: stopped by {number.name}; give the same command again\n"
    assert list(tmp_path.iterdir()) == []


def test_a_script_listens_where_its_shell_does_not(tmp_path: Path) -> None:
    """As in the rules: Slurm sends SIGTERM to the shell too, which must not die before us."""
    shell = script(tmp_path / "output", "bash", "-c", "trap '' TERM; \"$@\"; exit $?", "bash")
    children = Path(f"/proc/{shell.pid}/task/{shell.pid}/children").read_text().split()
    shell.terminate()
    assert shell.poll() is None
    os.kill(int(children[0]), signal.SIGTERM)
    _, told = shell.communicate(timeout=60)
    assert shell.returncode == 143
    assert told.startswith("error: stopped by SIGTERM")


def test_a_script_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = subprocess.Popen(["sleep", "600"])
    process = script(tmp_path / "output", starter=str(starter.pid))
    assert process.poll() is None
    starter.kill()
    starter.wait()
    assert process.wait(timeout=60) == 1
    assert not (tmp_path / "output").exists()
