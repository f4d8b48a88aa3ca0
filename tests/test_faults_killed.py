"""kill -9 at any moment of the tiny experiment, and the same command again: the same bytes."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import Snakemake
from small_faults import TINY, end_all, leftovers, results_of, scripts, start, wait_until

SEED = 7
KILLS = ["job"] * 10 + ["main"] * 5
# Not to go on with other jobs after one has failed: the next kill has more left to hit.
ARGUMENTS = (*TINY, "--workflow-profile", "none", "--rerun-incomplete")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all(tmp_path)


def jobs_done(folder: Path) -> int:
    return len(list((folder / "results/tiny/benchmarks").rglob("*.tsv")))


def kill_at(main: subprocess.Popen[str], kind: str, folder: Path, chance: random.Random) -> str:
    """SIGKILL the main process while jobs run, or one of them; say which."""
    victims: list[psutil.Process] = []
    wait_until(lambda: bool(scripts(folder)) or main.poll() is not None)
    time.sleep(chance.uniform(0, 3))
    while main.poll() is None:
        if not (victims := scripts(folder)):
            time.sleep(0.05)  # between two jobs
            continue
        if kind == "main":
            main.kill()
            return "main"
        with suppress(psutil.NoSuchProcess):
            victim = chance.choice(victims)
            command = victim.cmdline()
            victim.kill()
            return " ".join(command[1:])
    pytest.fail(f"it ended before its turn came: {main.communicate()[1][-3000:]}")


@pytest.mark.slow
def test_kills_at_random_moments(tiny_run: Path, folder: Path, snakemake: Snakemake) -> None:
    """Each at a random place of a random job, all over the experiment."""
    chance = random.Random(SEED)
    moments = sorted(chance.sample(range(int(0.85 * jobs_done(tiny_run))), len(KILLS)))
    kinds = chance.sample(KILLS, len(KILLS))
    killed = []
    for kind, moment in zip(kinds, moments, strict=True):
        main = start(folder, *ARGUMENTS)
        while jobs_done(folder) < moment and main.poll() is None:
            time.sleep(0.01)
        killed.append((moment, kill_at(main, kind, folder, chance)))
        _, told = main.communicate()
        assert main.returncode != 0, killed
        assert "LockException" not in told, killed
    again = snakemake(folder, *ARGUMENTS)
    assert again.returncode == 0, (killed, again.stderr[-3000:])
    wait_until(lambda: not scripts(folder))
    assert leftovers(folder) == [], killed
    wanted, found = results_of(tiny_run), results_of(folder)
    assert found.keys() == wanted.keys(), killed
    assert [name for name in wanted if found[name] != wanted[name]] == [], killed
