"""kill -9 in the middle of training, then the same command again: the same bytes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, Snakemake, snakemake_command

pytestmark = pytest.mark.xdist_group("killed")

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
        for job in psutil.process_iter(["cmdline"]):
            command = job.info["cmdline"] or []
            # The interpreter itself, not the shells that started it.
            runs = len(command) > 1 and command[1].endswith(script) and str(folder) in job.cwd()
            if runs and list(folder.glob(f"{CHECKPOINTS}/*/checkpoint-*/trainer_state.json")):
                os.kill(job.pid, signal.SIGKILL)
                return
        time.sleep(0.005)
    pytest.fail(f"{script} had no checkpoint within {seconds} s")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> bytes:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = snakemake(folder, *ARGUMENTS)
    assert done.returncode == 0, done.stderr[-3000:]
    return (folder / METRICS).read_bytes()


@pytest.mark.parametrize(
    ("script", "log"),
    [
        ("finetune.py", "models/news/*.log"),
        ("unlearn.py", "unlearned/news/npo_klr/*/seed0.log"),
    ],
)
def test_a_killed_job_resumes_to_the_same_bytes(
    undisturbed: bytes, tmp_path: Path, snakemake: Snakemake, script: str, log: str
) -> None:
    run = subprocess.Popen(snakemake_command(*ARGUMENTS), cwd=tmp_path, stderr=subprocess.DEVNULL)
    kill_in_training(script, tmp_path)
    assert run.wait() != 0
    assert not (tmp_path / METRICS).exists()

    again = snakemake(tmp_path, *ARGUMENTS)
    assert again.returncode == 0, again.stderr[-3000:]
    logs = [file.read_text(encoding="utf-8") for file in tmp_path.glob(f"results/tiny/logs/{log}")]
    assert any("resuming from checkpoint-" in text for text in logs)
    assert (tmp_path / METRICS).read_bytes() == undisturbed
