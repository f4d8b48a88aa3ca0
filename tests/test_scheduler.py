"""The look at Slurm before a run: settings with which a job's end is never seen are refused."""

import os
from pathlib import Path

import pytest

from qunlearn import scheduler
from qunlearn.errors import InputError
from qunlearn.scheduler import Slurm, check_settings, parse

# Lines of `scontrol show config` of Slurm 22.05.
SHOWN = """\
Configuration data as of 2026-11-26T12:00:00
AccountingStorageBackupHost = (null)
AccountingStorageEnforce = none
AccountingStorageHost   = localhost
AccountingStorageType   = accounting_storage/none
AccountingStoreFlags    = (null)
MinJobAge               = 300 sec
SlurmctldParameters     = (null)

Slurmctld(primary) at login is UP
"""


def test_what_scontrol_says_is_read() -> None:
    assert parse(SHOWN) == Slurm(accounting=False, min_job_age=300)
    assert parse(SHOWN.replace("storage/none", "storage/slurmdbd")).accounting
    assert not parse(SHOWN.replace("accounting_storage/none", "(null)")).accounting  # since 23.11


@pytest.mark.parametrize("name", ["AccountingStorageType", "MinJobAge"])
def test_another_program_s_answer_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="no AccountingStorageType or no MinJobAge"):
        parse(SHOWN.replace(name, "Other"))


@pytest.mark.parametrize(
    ("accounting", "age", "command", "wait", "has_sacct"),
    [
        pytest.param(True, 300, "sacct", 40, True, id="accounting, the default"),
        pytest.param(True, 60, "squeue", 40, True, id="the plugin takes sacct for squeue"),
        pytest.param(False, 300, "squeue", 40, True, id="no accounting, Slurm's own MinJobAge"),
        pytest.param(False, 3600, "sacct", 40, False, id="without sacct the plugin asks squeue"),
        pytest.param(True, 0, "sacct", 40, True, id="jobs are never forgotten"),
    ],
)
def test_these_see_the_end_of_a_job(
    accounting: bool, age: int, command: str, wait: int, has_sacct: bool
) -> None:
    check_settings(Slurm(accounting, age), command, wait, has_sacct=has_sacct)


@pytest.mark.parametrize(
    ("accounting", "age", "command", "wait", "has_sacct", "message"),
    [
        pytest.param(
            *(False, 300, "sacct", 40, True),
            "no accounting .* set slurm-status-command: squeue",
            id="sacct without slurmdbd",
        ),
        pytest.param(
            *(False, 60, "sacct", 40, True),
            "no accounting .* set slurm-status-command: squeue",
            id="sacct without slurmdbd, and jobs are soon forgotten",
        ),
        pytest.param(
            *(False, 300, "squeue", 101, True),
            "MinJobAge = 300 s, less than 3 times slurm-init-seconds-before-status-checks = 101 s; "
            "lower that to 100 or less",
            id="squeue, for which the plugin takes sacct, which has nothing",
        ),
        pytest.param(
            *(True, 300, "squeue", 101, False),
            "MinJobAge = 300 s, less than 3 times",
            id="squeue, and no sacct on this machine",
        ),
        pytest.param(
            *(False, 0, "squeue", 40, True),
            "MinJobAge = 0 s, less than 3 times .* = 40 s; have MinJobAge raised",
            id="never forgotten, but the plugin thinks it is at once",
        ),
        pytest.param(
            *(False, 180, "squeue", 40, True),
            "MinJobAge = 180 s, and squeue is asked only every 180 s .* raised to more than 180 s",
            id="forgotten between two looks, no accounting",
        ),
        pytest.param(
            *(True, 120, "squeue", 40, True),
            "MinJobAge = 120 s, .* set slurm-status-command: sacct",
            id="forgotten between two looks",
        ),
    ],
)
def test_these_would_wait_without_end(
    accounting: bool, age: int, command: str, wait: int, has_sacct: bool, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        check_settings(Slurm(accounting, age), command, wait, has_sacct=has_sacct)


def program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_cluster_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "scontrol", f'test "$*" = "show config" && cat <<END\n{SHOWN}END')
    program(tmp_path, "sacct", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    scheduler.check("squeue", 40)
    with pytest.raises(InputError, match="no accounting"):
        scheduler.check("sacct", 40)


def test_a_controller_that_is_down_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    program(tmp_path, "scontrol", "echo 'slurm_load_ctl_conf error:\nrefused' >&2; exit 1")
    with pytest.raises(InputError, match=r"failed \(slurm_load_ctl_conf error: refused\); submit"):
        scheduler.check("squeue", 40)
    program(tmp_path, "scontrol", "exec sleep 60")
    monkeypatch.setattr(scheduler, "PATIENCE", 0.2)
    with pytest.raises(InputError, match=r"no answer in 0\.2 s"):
        scheduler.check("squeue", 40)
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="scontrol: no such command"):
        scheduler.check("squeue", 40)
