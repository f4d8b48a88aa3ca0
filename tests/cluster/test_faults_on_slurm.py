"""What a cluster does to jobs: the run comes back with the same bytes, or names the job's log."""

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import Snakemake
from small_faults import training, wait_for

from cluster.small_slurm import TINY, Workflow, begun, jobs, slurm

pytestmark = pytest.mark.cluster
TARGET = "results/tiny/models/news/target"
# Time to be interrupted in.
LONG = {"train": {"target": {"epochs": 40, "checkpoint_every": 5}}}
GIVEN = ("data", "models/news/base")
Begin = Callable[..., Workflow]


@pytest.fixture(scope="module")
def undisturbed(
    tiny_run: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """A target that was trained here, without Slurm."""
    folder = begun(tiny_run, tmp_path_factory.mktemp("undisturbed"), GIVEN)
    Workflow(folder, LONG)
    done = snakemake(folder, TARGET, "--configfile", TINY, "test.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    return weights(folder)


def weights(folder: Path) -> bytes:
    return (folder / TARGET / "model.safetensors").read_bytes()


@pytest.fixture
def begin(tiny_run: Path, tmp_path: Path) -> Begin:
    """Makes a workflow to which only the training of target is left."""

    def made(resources: dict[str, Any] | None = None, **profile: Any) -> Workflow:
        folder = begun(tiny_run, tmp_path, GIVEN)
        return Workflow(folder, LONG | {"resources": {"train": resources or {}}}, **profile)

    return made


def under_way(work: Workflow) -> tuple[subprocess.Popen[str], psutil.Process]:
    """The driver, and the job that has written a checkpoint."""
    driver = work.start(TARGET)
    return driver, training(work.folder, driver, TARGET)


def slurm_log(job: dict[str, str]) -> str:
    return Path(job["StdOut"]).read_text()


def resumed(work: Workflow, driver: subprocess.Popen[str], expected: bytes) -> str:
    """What the run said, once its training went on from a checkpoint, to these weights."""
    said = work.end(driver)
    log = (work.folder / "results/tiny/logs/models/news/target.log").read_text()
    assert "resuming from checkpoint-" in log
    assert weights(work.folder) == expected
    return said


def test_a_cancelled_training_is_sent_again_and_resumes(begin: Begin, undisturbed: bytes) -> None:
    work = begin()
    driver, _ = under_way(work)
    [first] = jobs(work.folder)
    slurm("scancel", first["JobId"])
    resumed(work, driver, undisturbed)
    first, *_, last = jobs(work.folder)
    assert (first["JobState"], last["JobState"]) == ("CANCELLED", "COMPLETED")
    assert "CANCELLED AT" in slurm_log(first)


def test_a_training_beyond_its_time_gets_more_and_resumes(begin: Begin, undisturbed: bytes) -> None:
    work = begin({"runtime": 1})
    driver, job = under_way(work)
    job.suspend()  # on a machine of any speed: it is not done in time
    resumed(work, driver, undisturbed)
    first, second, *_ = sent = jobs(work.folder)
    assert (first["JobState"], first["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert (second["TimeLimit"], sent[-1]["JobState"]) == ("00:02:00", "COMPLETED")
    assert "DUE TO TIME LIMIT" in slurm_log(first)


def test_a_job_out_of_memory_is_sent_again_with_more(begin: Begin, undisturbed: bytes) -> None:
    work = begin({"mem_mb": 200}, retries=1)
    said = work.end(work.start(TARGET), well=False)
    sent = jobs(work.folder)
    assert [job["MinMemoryNode"] for job in sent] == ["200M", "300M"]
    assert all("memory limit" in slurm_log(job) for job in sent)
    assert sent[-1]["StdOut"] in said  # where the reason stands
    assert not (work.folder / TARGET).exists()

    again = Workflow(work.folder, LONG)
    again.end(again.start(TARGET))
    assert weights(work.folder) == undisturbed


def test_a_node_that_fails_goes_on_with_its_job(begin: Begin, undisturbed: bytes) -> None:
    work = begin()
    driver, _ = under_way(work)
    node = slurm("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N").strip()
    slurm("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    [job] = wait_for(
        lambda: [job for job in jobs(work.folder) if job["JobState"] == "PENDING"],
        "the job is in the queue again",
    )
    assert "DUE TO NODE FAILURE" in slurm_log(job)
    wait_for(lambda: "idle" in slurm("sinfo", "-h", "-p", "cpu", "-o", "%T"), "the node is back")
    # `slurmstepd` holds a job's step on the node.
    steps = partial(psutil.process_iter, ["name"])
    wait_for(
        lambda: "slurmstepd" not in {p.info["name"] for p in steps()}, "it ends what ran there"
    )
    # Slurm itself would let it wait for two minutes, for these two reasons.
    slurm("scontrol", "update", f"jobid={job['JobId']}", "starttime=now")
    resumed(work, driver, undisturbed)
    [job] = jobs(work.folder)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")


def test_a_preempted_training_resumes(begin: Begin, undisturbed: bytes) -> None:
    work = begin()
    driver, _ = under_way(work)
    slurm("sbatch", "-p", "urgent", "-c", "4", "-o", "/dev/null", "--wrap", "sleep 1")
    # In the notice's 10 seconds.
    said = resumed(work, driver, undisturbed)
    assert "stopped by SIGTERM; the same command resumes after update" in said


def test_jobs_outlive_a_killed_driver(begin: Begin, undisturbed: bytes) -> None:
    work = begin()
    driver, _ = under_way(work)
    driver.kill()
    driver.wait()
    [orphan] = jobs(work.folder)
    assert orphan["JobState"] == "RUNNING"
    work.end(work.start(TARGET))
    assert {job["JobState"] for job in jobs(work.folder)} == {"COMPLETED"}
    assert weights(work.folder) == undisturbed
