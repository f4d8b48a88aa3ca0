"""What is told of a job that failed on Slurm, from logs as Slurm 22.05 wrote them."""

from pathlib import Path

import pytest

from qunlearn.slurmlogs import Failure, cause, submissions, told

POLLED = """\
slurmstepd-vm: error: StepId=24.0 exceeded memory limit (250077184 > 209715200), being killed
slurmstepd-vm: error: Exceeded job memory limit
slurmstepd-vm: error: *** STEP 24.0 ON vm CANCELLED AT 2026-11-26T13:03:37 ***
"""
CGROUP = (
    "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. "
    "Some of the step tasks have been OOM Killed.\n"
)
LIMIT = """\
slurmstepd-vm: error: *** STEP 27.0 ON vm CANCELLED AT 2026-11-26T13:05:58 DUE TO TIME LIMIT ***
slurmstepd-vm: error: *** JOB 27 ON vm CANCELLED AT 2026-11-26T13:05:58 DUE TO TIME LIMIT ***
"""
TAKEN = (
    "slurmstepd: error: *** JOB 3 ON n1 CANCELLED AT 2026-11-26T13:05:58 DUE TO PREEMPTION ***\n"
)
NODE = (
    "slurmstepd-vm: error: *** JOB 31 ON vm CANCELLED AT 2026-11-26T13:07:16 DUE TO NODE FAILURE, "
    "SEE SLURMCTLD LOG FOR DETAILS ***\n"
)
SCANCEL = "slurmstepd-vm: error: *** JOB 15 ON vm CANCELLED AT 2026-11-26T13:01:02 ***\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (POLLED, "memory"),
        (CGROUP, "memory"),
        (LIMIT, "time"),
        (TAKEN, "preemption"),
        (NODE, "node"),
        (SCANCEL, "cancelled"),
        ("WorkflowError:\nAt least one job did not complete successfully.\n", ""),
    ],
)
def test_the_cause_is_in_slurms_log(text: str, expected: str) -> None:
    assert cause(text) == expected


def failed(folder: Path, text: str, own: str = "") -> Failure:
    slurm, log = folder / "24.log", folder / "target.log"
    slurm.write_text("x" * 300_000 + "\n" + text, encoding="utf-8")
    log.write_text(own, encoding="utf-8")
    keys = "resources.train.mem_mb", "runtime in the profile's set-resources"
    return Failure("rule finetune (name=target)", 450, 30, *keys, 3, slurm, (log,))


def test_a_line_names_the_job_what_it_asked_for_and_the_key(tmp_path: Path) -> None:
    line = told(failed(tmp_path, POLLED))
    assert line.startswith("rule finetune (name=target), attempt 3: killed for memory")
    assert "450 MiB; raise resources.train.mem_mb" in line
    line = told(failed(tmp_path, LIMIT))
    assert "time limit" in line
    assert "30 minutes; raise runtime in the profile's set-resources (a training" in line
    assert "\n" not in line


def test_a_job_that_ended_by_itself_is_told_in_its_own_words(tmp_path: Path) -> None:
    own = "error: one\nTraceback\nerror: corpus: two\nmore\n"
    assert told(failed(tmp_path, "", own=own)).endswith("attempt 3: corpus: two")
    assert told(failed(tmp_path, "")).endswith(f"{tmp_path}/target.log and {tmp_path}/24.log")


def test_a_job_that_slurm_did_not_take_has_no_log_of_slurms() -> None:
    line = told(Failure("rule unlearn", 1, 1, "", "", 1, None, (Path("missing.log"),)))
    assert line == "rule unlearn, attempt 1: failed; see missing.log"


def test_the_last_submission_of_a_job_counts() -> None:
    log = """\
Job 3 has been submitted with SLURM jobid 4 (log: /r/slurm_logs/rule_finetune/news target/4.log).
Trying to restart job 3.
Job 3 has been submitted with SLURM jobid 9 (log: /r/slurm_logs/rule_finetune/news target/9.log).
Job 5b has been submitted with SLURM jobid 7 (log: /r/slurm_logs/group_tables/5b/7.log).
"""
    assert submissions(log) == {
        "3": Path("/r/slurm_logs/rule_finetune/news target/9.log"),
        "5b": Path("/r/slurm_logs/group_tables/5b/7.log"),
    }
