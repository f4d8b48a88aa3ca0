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


def kill_in_training(script: str, folder: Path, seconds: float = 120) -> None:
    """SIGKILL the job that runs `script` as soon as one of its checkpoints is whole."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        whole = list(folder.glob(f"{CHECKPOINTS}/*/checkpoint-*/trainer_state.json"))
        for job in psutil.process_iter(["cmdline", "cwd"]) if whole else ():
            command = job.info["cmdline"] or []
            # The interpreter itself, not the shells that started it.
            runs = len(command) > 1 and command[1].endswith(script)
            if runs and job.info["cwd"] == str(folder):
                job.kill()
                return
        time.sleep(0.005)
    pytest.fail(f"{script} had no checkpoint within {seconds} s")


def test_killed_jobs_resume_to_the_same_bytes(tmp_path: Path, snakemake: Snakemake) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    for folder in (undisturbed, killed):
        folder.mkdir()
    done = snakemake(undisturbed, *ARGUMENTS)
    assert done.returncode == 0, done.stderr[-3000:]

    for script in ("finetune.py", "unlearn.py"):
        run = subprocess.Popen(snakemake_command(*ARGUMENTS), cwd=killed, stderr=subprocess.DEVNULL)
        kill_in_training(script, killed)
        assert run.wait() != 0
        assert not (killed / METRICS).exists()

    again = snakemake(killed, *ARGUMENTS)
    assert again.returncode == 0, again.stderr[-3000:]
    for log in ("models/news/*.log", "unlearned/news/npo_klr/*/seed0.log"):
        texts = [
            file.read_text(encoding="utf-8") for file in killed.glob(f"results/tiny/logs/{log}")
        ]
        assert any("resuming from checkpoint-" in text for text in texts)
    assert (killed / METRICS).read_bytes() == (undisturbed / METRICS).read_bytes()
