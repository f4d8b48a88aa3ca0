"""Runs that meet: two at once, and one after another that was killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Snakemake
from small_faults import (
    ONLY_TARGET,
    end_all,
    leftovers,
    scripts,
    start,
    training,
    wait_until,
)

from qunlearn.run import unlock


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all(tmp_path)


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
    log = (folder / "results/tiny/logs/models/news/target.log").read_text()
    assert "resuming from checkpoint-" in log
    assert leftovers(folder) == []


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
