"""kill -9 in the middle of training, then the same command again: the same bytes."""

import subprocess
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, Snakemake, snakemake_command

ARGUMENTS = (
    "--configfile",
    str(ROOT / "config/tiny.yaml"),
    str(ROOT / "tests/killed.yaml"),
)
CHECKPOINTS = "results/tiny/checkpoints"
METRICS = Path("results/tiny/tables/metrics.csv")


def kill_in_training(output: str, folder: Path, seconds: float = 120) -> None:
    """SIGKILL the job that makes `output` as soon as one of its checkpoints is whole."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        whole = list(folder.glob(f"{CHECKPOINTS}/*/checkpoint-*/whole"))
        for job in psutil.process_iter(["cmdline", "cwd"]) if whole else ():
            command = job.info["cmdline"] or []
            # The interpreter itself, not the shell that started it.
            if command[-1:] == [output] and job.info["cwd"] == str(folder):
                job.kill()
                return
        time.sleep(0.005)
    pytest.fail(f"{output} had no checkpoint within {seconds} s")


def test_killed_jobs_resume_to_the_same_bytes(tmp_path: Path, snakemake: Snakemake) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    done = snakemake(undisturbed, *ARGUMENTS)
    assert done.returncode == 0, done.stderr[-3000:]

    for output in ("models/news/target", "unlearned/news/npo_klr/lora/seed0"):
        # One job at a time, so that the checkpoints that are there are the killed job's.
        command = [*snakemake_command(*ARGUMENTS), "--cores", "1"]
        run = subprocess.Popen(command, cwd=killed, stderr=subprocess.DEVNULL)
        kill_in_training(f"results/tiny/{output}", killed)
        assert run.wait() != 0
        assert not (killed / METRICS).exists()
    log = (killed / "results/tiny/logs/models/news/target.log").read_text()
    assert "resuming from checkpoint-" in log

    again = snakemake(killed, *ARGUMENTS)
    assert again.returncode == 0, again.stderr[-3000:]
    log = (killed / "results/tiny/logs/unlearned/news/npo_klr/lora/seed0.log").read_text()
    assert "resuming from checkpoint-" in log
    assert (killed / METRICS).read_bytes() == (undisturbed / METRICS).read_bytes()
