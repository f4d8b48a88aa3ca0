"""Trainings under fire: a full disk, Ctrl-C; and then the same bytes."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Snakemake
from small_faults import (
    CORPUS,
    ONLY_TARGET,
    TINY,
    end_all,
    leftovers,
    remount,
    results_of,
    scripts,
    small_disk,
    start,
    told,
    training,
)

from qunlearn.training.trainer import LOG

SPARE = 256 * 1024  # bytes that the filler leaves


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = snakemake(folder, *ONLY_TARGET)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def fill(disk: Path) -> None:
    """Leave less free than a checkpoint takes, though others are writing too."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(2**16))
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - SPARE)


def of_target(folder: Path) -> dict[str, bytes]:
    """Its files but the log, whose means may be over other updates after a stop."""
    found = results_of(folder)
    wanted = ("data/", "models/news/target/")
    return {name: found[name] for name in found if name.startswith(wanted) and LOG not in name}


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
        assert "Traceback" not in said
        remount(disk, "size=800m")
        again = snakemake(disk, *ONLY_TARGET)
        assert again.returncode == 0, again.stderr[-3000:]
        assert leftovers(disk) == []
        assert of_target(disk) == of_target(undisturbed)


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
    log = (folder / "results/tiny/logs/models/news/target.log").read_text()
    assert ("error: stopped by SIG" in log) == (how != "SIGTERM")
    again = snakemake(folder, *ONLY_TARGET)
    assert again.returncode == 0, again.stderr[-3000:]
    if how != "SIGTERM":
        log = (folder / "results/tiny/logs/models/news/target.log").read_text()
        assert "resuming from checkpoint-" in log
    assert leftovers(folder) == []
    assert of_target(folder) == of_target(undisturbed)


def test_a_read_only_disk(tmp_path: Path, snakemake: Snakemake) -> None:
    with small_disk(tmp_path / "results", "size=400m,ro"):
        run = snakemake(tmp_path, *TINY, "--", CORPUS)
    assert run.returncode != 0
    (line,) = told(run.stderr)
    assert line.startswith("error: results/tiny: read-only file system; make it")
    assert "Traceback" not in run.stderr
    assert "Generating the corpus" not in run.stdout + run.stderr
