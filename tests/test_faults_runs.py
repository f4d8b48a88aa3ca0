"""Runs that are disturbed: two at once, kill -9, a full disk, Ctrl-C; and then the same bytes."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Snakemake
from small_faults import (
    CORPUS,
    LONGER,
    ONLY_TARGET,
    TARGET,
    TINY,
    end_all,
    leftovers,
    remount,
    scripts,
    small_disk,
    start,
    told,
    training,
    wait_until,
)

from qunlearn.run import unlock
from qunlearn.run.manifest import MANIFEST
from qunlearn.training.trainer import LOG

SPARE = 256 * 1024  # bytes that the filler leaves
LORA = "results/tiny/unlearned/news/npo_klr/lora/seed0"
LOG_FILE = "results/tiny/logs/models/news/target.log"


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


def fill(disk: Path) -> None:
    """Leave less free than a checkpoint takes, though others are writing too."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(2**16))
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - SPARE)


def made(folder: Path, output: str = TARGET) -> dict[str, bytes]:
    """Its files but the manifest's times, and the log's means over other updates after a stop."""
    files = (folder / output).glob("*")
    return {file.name: file.read_bytes() for file in files if file.name not in (LOG, MANIFEST)}


def test_a_second_run_is_refused(folder: Path, snakemake: Snakemake) -> None:
    first = start(folder, *ONLY_TARGET)
    job = training(folder, first)
    job.suspend()
    second = snakemake(folder, *ONLY_TARGET)
    assert second.returncode != 0
    assert "LockException" in second.stderr
    job.resume()
    _, said = first.communicate()
    assert first.returncode == 0, said
    assert not (folder / unlock.LOCKS).exists()


def test_after_a_run_that_was_killed_the_same_command_goes_on(
    folder: Path, snakemake: Snakemake
) -> None:
    first = start(folder, *ONLY_TARGET)
    training(folder, first)
    first.kill()
    first.communicate()
    wait_until(lambda: not scripts(folder), 60)  # its jobs do not go on without it
    assert list((folder / unlock.LOCKS).glob("*.lock"))
    again = snakemake(folder, *ONLY_TARGET)
    assert again.returncode == 0, again.stderr
    assert "the last run here was killed: removing its locks" in again.stderr
    assert "resuming from checkpoint-" in (folder / LOG_FILE).read_text()
    assert leftovers(folder) == []


def test_killed_jobs_resume_to_the_same_bytes(
    folder: Path, undisturbed: Path, snakemake: Snakemake
) -> None:
    for output in (TARGET, LORA):
        # One job at a time, so that the checkpoints that are there are the killed job's.
        run = start(folder, *LONGER, "--cores", "1", "--", LORA)
        training(folder, run, output).kill()
        run.communicate()
        assert run.returncode != 0
        assert not (folder / output).exists()
    again = snakemake(folder, *LONGER, "--", LORA)
    assert again.returncode == 0, again.stderr[-3000:]
    assert leftovers(folder) == []
    for output in (TARGET, LORA):
        log = (folder / output.replace("tiny/", "tiny/logs/")).with_suffix(".log").read_text()
        assert "resuming from checkpoint-" in log
        assert made(folder, output) == made(undisturbed, output)


def test_the_locks_of_a_run_on_another_machine_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        run = start(disk, *ONLY_TARGET)
        training(disk, run)
        fill(disk)
        _, said = run.communicate()
        assert run.returncode != 0
        lines = told(said)
        assert lines, said
        assert all("no space left on device; make room and give the same" in x for x in lines)
        assert all(x.startswith("error: results/tiny/models/news/") for x in lines)
        # Snakemake cannot write its own log either, and says so at length.
        assert "Traceback" not in (disk / LOG_FILE).read_text()
        remount(disk, "size=800m")
        again = snakemake(disk, *ONLY_TARGET)
        assert again.returncode == 0, again.stderr[-3000:]
        assert leftovers(disk) == []
        assert made(disk) == made(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGTERM of all"])
def test_a_training_that_is_asked_to_end(
    how: str, folder: Path, undisturbed: Path, snakemake: Snakemake
) -> None:
    """SIGTERM of Snakemake alone lets its jobs end; a scheduler sends it to every process."""
    run = start(folder, *ONLY_TARGET, group=True)
    training(folder, run)
    if how == "SIGTERM":
        run.terminate()
    else:
        os.killpg(run.pid, signal.SIGINT if how == "Ctrl-C" else signal.SIGTERM)
    _, said = run.communicate()
    assert run.returncode != 0, said
    assert scripts(folder) == []
    assert "Traceback" not in said
    stopped = "error: stopped by SIG" in (folder / LOG_FILE).read_text()
    assert stopped == (how != "SIGTERM")
    again = snakemake(folder, *ONLY_TARGET)
    assert again.returncode == 0, again.stderr[-3000:]
    assert not stopped or "resuming from checkpoint-" in (folder / LOG_FILE).read_text()
    assert leftovers(folder) == []
    assert made(folder) == made(undisturbed)


def test_a_read_only_disk(tmp_path: Path, snakemake: Snakemake) -> None:
    with small_disk(tmp_path / "results", "size=400m,ro"):
        run = snakemake(tmp_path, *TINY, "--", CORPUS)
    assert run.returncode != 0
    (line,) = told(run.stderr)
    assert line.startswith("error: results/tiny: read-only file system; make it")
    assert "Traceback" not in run.stderr
    assert "Generating the corpus" not in run.stdout + run.stderr
