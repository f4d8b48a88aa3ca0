"""Whether a run would see that its jobs on Slurm have ended, told before the first is submitted.

snakemake-executor-plugin-slurm 2.8.0 asks `sacct`, which knows nothing where Slurm keeps no
accounting (slurmdbd), or `squeue`, which knows a job only until slurmctld forgets it. A job whose
end was not seen is waited for without end.
"""

import shutil
import subprocess
from dataclasses import dataclass

from qunlearn.errors import InputError

SHOW = ("scontrol", "show", "config")
PATIENCE = 30  # seconds; of a controller that is up it takes less than one
CHECKS = 3
"""Times of its first wait that the plugin wants a finished job to be remembered; where it is not,
`squeue` in the settings is taken for `sacct`."""
LONGEST_WAIT = 180
"""Seconds between two looks of the plugin when nothing ends for long."""


@dataclass(frozen=True)
class Slurm:
    """What a cluster remembers.

    Attributes:
        accounting: whether slurmdbd keeps a record of each job.
        min_job_age: seconds after which the controller may forget a finished job; 0: it never does.
    """

    accounting: bool
    min_job_age: int


def check(command: str | None, wait: int) -> None:
    """Complain about settings with which the end of a job is not seen on this cluster.

    Args:
        command: the plugin's `slurm-status-command`.
        wait: its `slurm-init-seconds-before-status-checks`.

    Raises:
        InputError: so it is, or Slurm does not answer.
    """
    check_settings(parse(shown()), command, wait, has_sacct=shutil.which("sacct") is not None)


def check_settings(slurm: Slurm, command: str | None, wait: int, *, has_sacct: bool) -> None:
    """As `check`, of a cluster that is known.

    Args:
        has_sacct: whether the command is on this machine; the plugin asks `squeue` where it is not.
    """
    age = slurm.min_job_age
    early = age < CHECKS * wait
    told = "squeue" if command == "squeue" or not has_sacct else "sacct"
    asked = "sacct" if has_sacct and early else told
    if slurm.accounting and asked == "sacct":
        return
    if told == "sacct":
        raise InputError(
            "this Slurm keeps no accounting (AccountingStorageType), so sacct would never tell "
            "that a job has ended; set slurm-status-command: squeue in the profile"
        )
    if early:
        lower = age // CHECKS
        advice = f"lower that to {lower} or less, or have" if lower else "have"
        raise InputError(
            f"Slurm may forget a finished job after MinJobAge = {age} s, less than {CHECKS} times "
            f"slurm-init-seconds-before-status-checks = {wait} s; {advice} MinJobAge raised"
        )
    if age and age <= LONGEST_WAIT:
        advice = (
            "set slurm-status-command: sacct in the profile"
            if slurm.accounting
            else (f"have MinJobAge raised to more than {LONGEST_WAIT} s")
        )
        raise InputError(
            f"Slurm may forget a finished job after MinJobAge = {age} s, and squeue is asked only "
            f"every {LONGEST_WAIT} s when jobs are long (slurm-status-command: squeue); {advice}"
        )


def parse(config: str) -> Slurm:
    """What `scontrol show config` says: lines such as `MinJobAge               = 300 sec`.

    Raises:
        InputError: it does not say it.
    """
    values = {}
    for line in config.splitlines():
        name, equals, value = line.partition("=")
        if equals:
            values[name.strip()] = value.strip()
    kept, age = values.get("AccountingStorageType", ""), values.get("MinJobAge", "").split(" ")[0]
    if not kept or not age.isdecimal():
        raise InputError(
            f"{' '.join(SHOW)}: no AccountingStorageType or no MinJobAge in what it says; see "
            "whether this is Slurm's own scontrol"
        )
    return Slurm(kept == "accounting_storage/slurmdbd", int(age))


def shown() -> str:
    """The cluster's configuration as its controller has it.

    Raises:
        InputError: there is no scontrol, or no controller answers it.
    """
    advice = "submit from a node of the cluster whose slurmctld is up"
    try:
        told = subprocess.run(SHOW, capture_output=True, text=True, timeout=PATIENCE, check=True)
    except FileNotFoundError:
        raise InputError(f"{SHOW[0]}: no such command; {advice}") from None
    except subprocess.TimeoutExpired:
        raise InputError(f"{' '.join(SHOW)}: no answer in {PATIENCE} s; {advice}") from None
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split())
        raise InputError(f"{' '.join(SHOW)} failed ({said}); {advice}") from None
    return told.stdout
