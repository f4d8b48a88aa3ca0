"""Faults made on purpose: jobs that are killed, small disks, and what is looked at afterwards."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from conftest import ROOT, snakemake_command

T = TypeVar("T")


def wait_for(what: Callable[[], T | None], why: str, seconds: float = 900) -> T:
    """The first true answer."""
    end = time.monotonic() + seconds
    while not (answer := what()):
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s: {why}")
        time.sleep(0.02)
    return answer


def start(folder: Path, *arguments: str, **how: Any) -> subprocess.Popen[str]:
    """The workflow in the background; `how` is for Popen."""
    return subprocess.Popen(
        snakemake_command(*arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        **how,
    )


def scripts(folder: Path) -> list[psutil.Process]:
    """The scripts that run in `folder`: interpreters, not the shells around them."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        command = process.info["cmdline"] or []
        script = command[1] if len(command) > 1 else ""
        if script.startswith(f"{ROOT}/workflow/scripts/") and process.info["cwd"] == str(folder):
            found.append(process)
    return found


def training(folder: Path, run: subprocess.Popen[str], output: str) -> psutil.Process:
    """The job of `run` in `folder` that trains `output`, once a checkpoint is whole."""

    def found() -> psutil.Process | None:
        if run.poll() is not None:
            pytest.fail(f"the run has ended: {(run.communicate()[1] or '')[-3000:]}")
        whole = (folder / "results/tiny/checkpoints").glob("*/checkpoint-*/trainer_state.json")
        for job in scripts(folder) if any(whole) else ():
            if ("--output", output) in pairwise(job.info["cmdline"]):
                return job
        return None

    return wait_for(found, f"a checkpoint of {output}")


def end_all(folder: Path) -> None:
    """End what a test that failed has left running in `folder`, Snakemake first."""
    for process in psutil.process_iter(["cwd"]):
        if Path(process.info["cwd"] or "/").is_relative_to(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def leftovers(folder: Path) -> list[Path]:
    """What only a job or a run at work has."""
    patterns = (".*.partial", "checkpoint-*")
    return [path for each in patterns for path in (folder / "results").rglob(each)]


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory at `folder`, mounted with options, e.g. `size=2m`."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
