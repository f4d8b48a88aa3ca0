"""kill -9 at any moment, and the same command again: the same bytes."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, Snakemake, snakemake_command
from small_faults import TINY, end_all, leftovers, results_of, scripts, start, wait_until

LONGER = (*TINY, str(ROOT / "tests/killed.yaml"))
METRICS = Path("results/tiny/tables/metrics.csv")
LOGS = Path("results/tiny/logs")
KILLS = ["job"] * 10 + ["main"] * 5
# Not to go on with other jobs after one has failed: the next kill has more left to hit.
ARGUMENTS = (*TINY, "--workflow-profile", "none", "--rerun-incomplete")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_all(tmp_path)


def kill_in_training(output: str, folder: Path, run: subprocess.Popen[bytes]) -> None:
    """SIGKILL the job that makes `output` as soon as one of its checkpoints is whole."""
    checkpoints, killed = folder / "results/tiny/checkpoints", False
    while not killed:
        assert run.poll() is None, f"{output} had no checkpoint"
        whole = any(checkpoints.glob("*/checkpoint-*/whole"))
        for job in scripts(folder) if whole else ():
            if job.info["cmdline"][-1] == output:
                job.kill()
                killed = True
        time.sleep(0.005)


def test_killed_jobs_resume_to_the_same_bytes(folder: Path, snakemake: Snakemake) -> None:
    undisturbed, killed = folder / "undisturbed", folder / "killed"
    for each in (undisturbed, killed):
        each.mkdir()
    done = snakemake(undisturbed, *LONGER)
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = ("models/news/target", "unlearned/news/npo_klr/lora/seed0")
    for output in outputs:
        # One job at a time, so that the checkpoints that are there are the killed job's.
        command = [*snakemake_command(*LONGER), "--cores", "1"]
        run = subprocess.Popen(command, cwd=killed, stderr=subprocess.DEVNULL)
        kill_in_training(f"results/tiny/{output}", killed, run)
        assert run.wait() != 0
        assert not (killed / METRICS).exists()
    again = snakemake(killed, *LONGER)
    assert again.returncode == 0, again.stderr[-3000:]
    for output in outputs:
        log = (killed / LOGS / f"{output}.log").read_text()
        assert "resuming from checkpoint-" in log
    assert (killed / METRICS).read_bytes() == (undisturbed / METRICS).read_bytes()


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
    chance = random.Random(7)
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
