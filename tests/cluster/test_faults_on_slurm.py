"""What a cluster does to jobs: the run comes back with the same bytes, or names the job's log."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Snakemake

from cluster.small_slurm import Run, Slurm, Workflow, begun, wait_for

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
    files = (str(ROOT / "config/tiny.yaml"), str(folder / "test.yaml"))
    done = snakemake(folder, TARGET, "--configfile", *files)
    assert done.returncode == 0, done.stderr[-3000:]
    return weights(folder)


def weights(folder: Path) -> bytes:
    return (folder / TARGET / "model.safetensors").read_bytes()


@pytest.fixture
def begin(slurm: Slurm, tiny_run: Path, tmp_path: Path) -> Begin:
    """Makes a workflow to which only the training of target is left."""

    def made(resources: dict[str, Any] | None = None, **profile: Any) -> Workflow:
        folder = begun(tiny_run, tmp_path, GIVEN)
        return Workflow(folder, LONG | {"resources": {"train": resources or {}}}, **profile)

    return made


def log(folder: Path) -> str:
    return (folder / "results/tiny/logs/models/news/target.log").read_text()


def slurm_log(job: dict[str, str]) -> str:
    return Path(job["StdOut"]).read_text()


def finished(work: Workflow, driver: subprocess.Popen[str], expected: bytes) -> Run:
    """The run once it has ended well: its training went on from a checkpoint, to these weights."""
    run = work.end(driver)
    assert run.code == 0, run.said[-3000:]
    assert "resuming from checkpoint-" in log(work.folder)
    assert weights(work.folder) == expected
    return run


def test_a_cancelled_training_is_sent_again_and_resumes(
    begin: Begin, slurm: Slurm, undisturbed: bytes
) -> None:
    work = begin()
    driver = work.start(TARGET)
    work.training(driver, TARGET)
    [first] = slurm.jobs(work.folder)
    slurm.ask("scancel", first["JobId"])
    finished(work, driver, undisturbed)
    first, *_, last = slurm.jobs(work.folder)
    assert (first["JobState"], last["JobState"]) == ("CANCELLED", "COMPLETED")
    assert re.search(r"CANCELLED AT \S+ \*\*\*", slurm_log(first))


def test_a_training_beyond_its_time_gets_more_and_resumes(
    begin: Begin, slurm: Slurm, undisturbed: bytes
) -> None:
    work = begin({"runtime": 1})
    driver = work.start(TARGET)
    work.training(driver, TARGET).suspend()  # on a machine of any speed: it is not done in time
    finished(work, driver, undisturbed)
    first, second, *_ = jobs = slurm.jobs(work.folder)
    assert (first["JobState"], first["TimeLimit"]) == ("TIMEOUT", "00:01:00")
    assert (second["TimeLimit"], jobs[-1]["JobState"]) == ("00:02:00", "COMPLETED")
    assert "DUE TO TIME LIMIT" in slurm_log(first)


def test_a_job_killed_for_memory_is_sent_again_larger_and_then_names_its_log(
    begin: Begin, slurm: Slurm, undisturbed: bytes
) -> None:
    work = begin({"mem_mb": 200}, retries=1)
    run = work.run(TARGET)
    assert run.code != 0
    jobs = slurm.jobs(work.folder)
    assert [job["MinMemoryNode"] for job in jobs] == ["200M", "300M"]
    assert all("memory limit" in slurm_log(job) for job in jobs)
    assert jobs[-1]["StdOut"] in run.said  # where the reason stands
    assert not (work.folder / TARGET).exists()

    again = Workflow(work.folder, LONG).run(TARGET)
    assert again.code == 0, again.said[-3000:]
    assert weights(work.folder) == undisturbed


def test_a_node_that_fails_and_comes_back_goes_on_with_its_job(
    begin: Begin, slurm: Slurm, undisturbed: bytes
) -> None:
    work = begin()
    driver = work.start(TARGET)
    work.training(driver, TARGET)
    node = slurm.ask("sinfo", "-h", "-N", "-p", "cpu", "-o", "%N").strip()
    slurm.ask("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    [job] = wait_for(
        lambda: [job for job in slurm.jobs(work.folder) if job["JobState"] == "PENDING"],
        "the job is not in the queue again",
    )
    assert "DUE TO NODE FAILURE" in slurm_log(job)
    wait_for(lambda: "idle" in slurm.state(), "the node does not come back")
    wait_for(lambda: not slurm.steps(), "the node does not end what ran there")
    # Slurm itself would let it wait for two minutes, for these two reasons.
    slurm.ask("scontrol", "update", f"jobid={job['JobId']}", "starttime=now")
    finished(work, driver, undisturbed)
    [job] = slurm.jobs(work.folder)
    assert (job["JobState"], job["Restarts"]) == ("COMPLETED", "1")


def test_a_preempted_training_writes_a_checkpoint_and_resumes(
    begin: Begin, slurm: Slurm, undisturbed: bytes
) -> None:
    work = begin()
    driver = work.start(TARGET)
    work.training(driver, TARGET)
    slurm.ask("sbatch", "-p", "urgent", "-c", "4", "-o", "/dev/null", "--wrap", "sleep 1")
    # In the notice's 10 seconds.
    said = finished(work, driver, undisturbed).said
    assert "stopped by SIGTERM; the same command resumes after update" in said


def test_jobs_outlive_a_killed_driver_and_the_next_one_waits_for_them(
    begin: Begin, slurm: Slurm, undisturbed: bytes
) -> None:
    work = begin()
    driver = work.start(TARGET)
    work.training(driver, TARGET)
    driver.kill()
    driver.wait()
    [orphan] = slurm.jobs(work.folder)
    assert orphan["JobState"] == "RUNNING"
    run = work.run(TARGET)
    assert run.code == 0, run.said[-3000:]
    assert {job["JobState"] for job in slurm.jobs(work.folder)} == {"COMPLETED"}
    assert weights(work.folder) == undisturbed
