"""Why a job on Slurm ended, told in one line.

Where `squeue` is asked for the state of jobs (on a cluster without slurmdbd it must be), it says no
more than FAILED of most. The reason stands in the job's own log, in the words of slurmstepd.
"""

import re
from dataclasses import asdict, dataclass
from pathlib import Path

CAUSES = {
    # The kernel's way where cgroups limit memory, and slurmstepd's where it looks now and then.
    "memory": r"oom_kill event|OOM Killed|[Ee]xceeded (?:job )?memory limit",
    "time": r"CANCELLED AT \S+ DUE TO TIME LIMIT",
    "preemption": r"CANCELLED AT \S+ DUE TO PREEMPTION",
    "node": r"CANCELLED AT \S+ DUE TO NODE FAILURE",
    # By scancel; or by a preemption with notice, where the job ended before its time was over.
    "cancelled": r"CANCELLED AT \S+ \*\*\*",
}
"""Cause -> a pattern of Slurm's log. The first that is found counts: what is killed for memory is
said to be cancelled too."""
WORDS = {
    "memory": "killed for memory, of which it had asked for {mem_mb} MiB; raise {mem_key}, or "
    "lower what takes it (micro_batch_size, max_tokens)",
    "time": "ended by the time limit, and it had asked for {runtime} minutes; raise {runtime_key} "
    "(a training goes on from its checkpoint)",
    "preemption": "another job took its node; start again, and raise `retries` in the profile",
    "node": "its node failed; start again",
    "cancelled": "cancelled, by scancel or because another job took its node; start again",
}
"""Cause -> what a user reads."""
TAIL = 200_000
"""Bytes at the end of a log that are looked at."""


@dataclass(frozen=True)
class Failure:
    """A job that failed for the last time.

    Attributes:
        job: its rule with the wildcards, or the rules of its group.
        mem_mb: MiB that it asked for at its last attempt; None: it left that to Slurm.
        runtime: minutes, as `mem_mb`.
        mem_key: where that is set.
        runtime_key: likewise.
        attempt: its last, counted from 1.
        slurm_log: of the last attempt; None where it never reached Slurm.
        logs: what the job wrote itself.
    """

    job: str
    mem_mb: int | None
    runtime: int | None
    mem_key: str
    runtime_key: str
    attempt: int
    slurm_log: Path | None
    logs: tuple[Path, ...] = ()


def cause(text: str) -> str:
    """The key of CAUSES that a job's Slurm log speaks of; empty: it ended by itself."""
    return next((name for name, pattern in CAUSES.items() if re.search(pattern, text)), "")


def told(failure: Failure) -> str:
    """What happened to a job, and what to change, in one line."""
    why = cause(_tail(failure.slurm_log)) if failure.slurm_log else ""
    said = WORDS[why].format(**asdict(failure)) if why else _own_words(failure)
    return f"{failure.job}, attempt {failure.attempt}: {said}"


def submissions(text: str) -> dict[str, Path]:
    """Snakemake's number of a job -> Slurm's log of its last attempt, as a run's log tells them."""
    sent = r"^Job (\S+) has been submitted with SLURM jobid \S+ \(log: (.+)\)\.$"
    return {number: Path(log) for number, log in re.findall(sent, text, re.MULTILINE)}


def _own_words(failure: Failure) -> str:
    """The job's own last complaint, or where to look."""
    for log in failure.logs:
        complaints = [line for line in _tail(log).splitlines() if line.startswith("error: ")]
        if complaints:
            return complaints[-1].removeprefix("error: ")
    files = [*failure.logs, *([failure.slurm_log] if failure.slurm_log else [])]
    return f"failed; see {' and '.join(map(str, files))}"


def _tail(file: Path) -> str:
    if not file.exists():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - TAIL))
        return stream.read().decode("utf-8", errors="replace")
