"""Runs that meet: two at once, one that was killed, one that is asked to end."""

import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Snakemake
from small_faults import (
    CORPUS,
    TINY,
    end_all,
    leftovers,
    scripts,
    start,
    told,
    wait_for_a_job,
    wait_until,
)

from qunlearn.errors import InputError
from qunlearn.locks import exclusive, give_back, take
from qunlearn.runlock import LOCKS, RUN, hold, take_over

RESULTS = Path("results/tiny")
ONLY_CORPUS = (*TINY, "--", CORPUS)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all(tmp_path)


def test_two_runs_on_one_tree(folder: Path, snakemake: Snakemake) -> None:
    with exclusive(folder / CORPUS):  # so that its job waits, and the run goes on
        first = start(folder, *ONLY_CORPUS)
        wait_for_a_job(folder, first)
        second = snakemake(folder, *ONLY_CORPUS)
        assert second.returncode != 0
        assert f"(process {first.pid} on {socket.gethostname()}) is at work" in second.stderr
        assert "cannot be locked" in second.stderr
        # As a run of another experiment does at its end.
        shutil.rmtree(folder / LOCKS)
        third = snakemake(folder, *ONLY_CORPUS)
        assert third.returncode != 0
        (line,) = told(third.stderr)
        assert line.startswith("error: results/tiny: the run of 20")
        assert line.endswith("is at work there; wait until it ends, or stop it")
        assert first.poll() is None
    _, said = first.communicate()
    assert first.returncode == 0, said
    assert leftovers(folder) == []


def test_a_run_that_was_killed(folder: Path, snakemake: Snakemake) -> None:
    with exclusive(folder / CORPUS):
        first = start(folder, *ONLY_CORPUS)
        wait_for_a_job(folder, first)
        first.kill()
        first.communicate()
        wait_until(lambda: not scripts(folder))  # its jobs do not go on without it
    assert list((folder / LOCKS).iterdir())
    again = snakemake(folder, *ONLY_CORPUS)
    assert again.returncode == 0, again.stderr
    assert f"(process {first.pid} on " in again.stderr
    assert "was killed; its locks are gone" in again.stderr
    assert leftovers(folder) == []


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_a_run_that_is_asked_to_end(how: str, folder: Path, snakemake: Snakemake) -> None:
    """Ctrl-C goes to the jobs as well; after SIGTERM Snakemake lets those that run end."""
    log = folder / "results/tiny/logs/data/news.log"
    with exclusive(folder / CORPUS):
        run = start(folder, *ONLY_CORPUS, group=True)
        wait_for_a_job(folder, run)
        wait_until(lambda: "waiting" in log.read_text())  # it listens
        if how == "Ctrl-C":
            os.killpg(run.pid, signal.SIGINT)
            _, said = run.communicate()
            assert "error: stopped by SIGINT; give the same command again" in log.read_text()
        else:
            run.terminate()
    if how == "SIGTERM":
        _, said = run.communicate()
        assert (folder / CORPUS).is_dir()
    assert "Traceback" not in said
    again = snakemake(folder, *ONLY_CORPUS)
    assert again.returncode == 0, again.stderr
    assert leftovers(folder) == []


# --- Locks of a run --------------------------------------------------------------------------


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An experiment whose run was killed, and its locks; also those of another experiment."""
    monkeypatch.chdir(tmp_path)
    for place in (RESULTS, LOCKS):
        place.mkdir(parents=True)
    (LOCKS / "0.output.lock").write_text("results/tiny/data/news\nresults/tiny/tables/main.md\n")
    (LOCKS / "1.output.lock").write_text("results/tiny2/data/news\n")
    file = RESULTS / RUN
    hold(RESULTS)
    with pytest.raises(InputError, match=r"the run of .* is at work there"):
        hold(RESULTS)
    left = file.read_text(encoding="utf-8")
    file.unlink()  # what follows meets another file, which nobody has locked
    file.write_text(left, encoding="utf-8")
    return RESULTS


def test_the_locks_of_a_killed_run_go(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    take_over(results)
    assert [path.name for path in LOCKS.iterdir()] == ["1.output.lock"]
    assert "was killed; its locks are gone" in capsys.readouterr().err
    take_over(results)
    assert capsys.readouterr().err == ""


def test_the_locks_of_a_run_elsewhere_stay(results: Path) -> None:
    """Whether a lock on a shared disk is held cannot be seen everywhere."""
    record = json.loads((results / RUN).read_text())
    (results / RUN).write_text(json.dumps(record | {"host": "another"}))
    take_over(results)
    assert len(list(LOCKS.iterdir())) == 2


def test_the_locks_of_a_run_at_work_stay(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = take(results / RUN)
    assert held is not None
    take_over(results)
    assert len(list(LOCKS.iterdir())) == 2
    assert "is at work there" in capsys.readouterr().err
    give_back(held, results / RUN)


def test_a_lock_that_was_made_since_stays(results: Path) -> None:
    """Its run has not come to hold the experiment yet."""
    (LOCKS / "0.output.lock").unlink()
    (LOCKS / "0.output.lock").write_text("results/tiny/data/news\n")
    take_over(results)
    assert len(list(LOCKS.iterdir())) == 2
