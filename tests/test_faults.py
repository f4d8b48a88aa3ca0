"""Runs that are disturbed: two at once, kill -9, a full disk, Ctrl-C; and then the same bytes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import ROOT, Snakemake
from small_faults import end_all, leftovers, remount, scripts, small_disk, start, training, wait_for
from small_workflow import TINY

from qunlearn.run import unlock
from qunlearn.run.manifest import MANIFEST
from qunlearn.run.signals import STARTER
from qunlearn.training.trainer import LOG

CORPUS = "results/tiny/data/news"
TARGET, LORA = "results/tiny/models/news/target", "results/tiny/unlearned/news/npo_klr/lora/seed0"
# Trainings that are long enough to be disturbed.
LONGER = (*TINY, str(ROOT / "tests/killed.yaml"))
SPARE = 256 * 1024  # bytes that the filler leaves


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = snakemake(folder, *LONGER, "--", LORA)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def finish(snakemake: Snakemake, folder: Path, undisturbed: Path, *outputs: str) -> str:
    """Give the command again; return what it says once its outputs are as without disturbance."""
    done = snakemake(folder, *LONGER, "--", outputs[-1])
    assert done.returncode == 0, done.stderr[-3000:]
    assert leftovers(folder) == []
    for output in outputs:
        assert made(folder, output) == made(undisturbed, output)
    return done.stderr


def made(folder: Path, output: str) -> dict[str, bytes]:
    """Its files but the manifest's times, and the log's means over other updates after a stop."""
    files = (folder / output).glob("*")
    return {file.name: file.read_bytes() for file in files if file.name not in (LOG, MANIFEST)}


def log(folder: Path, output: str = TARGET) -> str:
    return (folder / f"{output}.log".replace("tiny/", "tiny/logs/")).read_text()


def errors(text: str) -> list[str]:
    """The lines that are meant for the user."""
    return [line for line in text.splitlines() if line.startswith("error: ")]


def test_a_second_run_is_refused_and_killed_ones_resume_to_the_same_bytes(
    folder: Path, undisturbed: Path, snakemake: Snakemake
) -> None:
    # One job at a time, so that the checkpoints that are there are the killed job's.
    command = (*LONGER, "--cores", "1", "--", LORA)
    run = start(folder, *command)
    job = training(folder, run, TARGET)
    job.suspend()
    second = snakemake(folder, *command)
    assert second.returncode != 0 and "LockException" in second.stderr
    job.resume()
    run.kill()
    run.communicate()
    wait_for(lambda: not scripts(folder), "its jobs go on without it", 60)
    assert list((folder / unlock.LOCKS).glob("*.lock"))

    run = start(folder, *command)
    training(folder, run, LORA).kill()
    _, said = run.communicate()
    assert run.returncode != 0
    assert "the last run here was killed: removing its locks" in said
    assert not (folder / LORA).exists()
    finish(snakemake, folder, undisturbed, TARGET, LORA)
    for output in (TARGET, LORA):
        assert "resuming from checkpoint-" in log(folder, output)
    assert not (folder / unlock.LOCKS).exists()


def test_locks_of_another_machine_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is at work cannot be seen from here."""
    monkeypatch.chdir(tmp_path)
    unlock.LOCKS.mkdir(parents=True)
    (unlock.LOCKS / "1.run.elsewhere").touch()
    (unlock.LOCKS / "0.output.lock").touch()
    unlock.unlock_after_kill()
    assert len(list(unlock.LOCKS.iterdir())) == 2


@pytest.mark.slow
def test_a_disk_that_fills_up(folder: Path, undisturbed: Path, snakemake: Snakemake) -> None:
    """Everything is on it, Snakemake's own files too; it is enlarged afterwards."""
    disk = folder / "disk"
    with small_disk(disk, "size=400m"):
        run = start(disk, *LONGER, "--", TARGET)
        training(disk, run, TARGET)
        # Leave less free than a checkpoint takes, though others are writing too.
        with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(2**16))
        os.truncate(disk / "filler", (disk / "filler").stat().st_size - SPARE)
        _, said = run.communicate()
        assert run.returncode != 0
        assert errors(said), said
        for line in errors(said):
            assert line.startswith("error: results/tiny/models/news/")
            assert "no space left on device; make room and give the same" in line
        # Snakemake cannot write its own log either, and says so at length.
        assert "Traceback" not in log(disk)
        remount(disk, "size=800m")
        finish(snakemake, disk, undisturbed, TARGET)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGTERM of all"])
def test_ended_trainings(how: str, folder: Path, undisturbed: Path, snakemake: Snakemake) -> None:
    """SIGTERM of Snakemake alone lets its jobs end; a scheduler sends it to every process."""
    run = start(folder, *LONGER, "--", TARGET, start_new_session=True)  # as a shell starts it
    training(folder, run, TARGET)
    if how == "SIGTERM":
        run.terminate()
    else:
        os.killpg(run.pid, signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
    _, said = run.communicate()
    assert run.returncode != 0, said
    assert scripts(folder) == []
    assert "Traceback" not in said
    stopped = "error: stopped by SIG" in log(folder)
    assert stopped == (how != "SIGTERM")
    finish(snakemake, folder, undisturbed, TARGET)
    assert not stopped or "resuming from checkpoint-" in log(folder)


def test_a_read_only_disk(tmp_path: Path, snakemake: Snakemake) -> None:
    with small_disk(tmp_path / "results", "size=400m,ro"):
        run = snakemake(tmp_path, *TINY, "--", CORPUS)
    assert run.returncode != 0
    (line,) = errors(run.stderr)
    assert line.startswith("error: results/tiny: read-only file system; make it")
    assert "Traceback" not in run.stderr
    assert "Generating the corpus" not in run.stdout + run.stderr


# --- A script that is asked to end -----------------------------------------------------------

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


def script(folder: Path, *around: str, starter: str = "") -> subprocess.Popen[str]:
    """A script that is in the middle of writing an output; `around` starts it, and its life hangs
    on the process `starter`."""
    process = subprocess.Popen(
        [*around, sys.executable, "-c", SCRIPT, "--output", str(folder / "output")],
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
    """In the rules its shell does not listen: Slurm sends SIGTERM to it too."""
    process = script(tmp_path, "bash", "-c", "trap '' TERM; \"$@\"; exit $?", "bash")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.terminate()
    assert process.poll() is None
    os.kill(int(children[0]), number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == f"error: stopped by {number.name}; give the same command again\n"
    assert list(tmp_path.iterdir()) == []


def test_a_script_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    starter = subprocess.Popen(["sleep", "600"])
    process = script(tmp_path, starter=str(starter.pid))
    assert process.poll() is None
    starter.kill()
    starter.wait()
    assert process.wait(timeout=60) == 1
    assert not (tmp_path / "output").exists()
