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
