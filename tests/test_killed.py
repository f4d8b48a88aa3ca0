"""kill -9 in the middle of training, and the same command again: the same bytes."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, Snakemake, snakemake_command
from small_faults import TINY, end_all, leftovers, scripts

LONGER = (*TINY, str(ROOT / "tests/killed.yaml"))
METRICS = Path("results/tiny/tables/metrics.csv")
LOGS = Path("results/tiny/logs")


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
    assert leftovers(killed) == []
    assert (killed / METRICS).read_bytes() == (undisturbed / METRICS).read_bytes()
