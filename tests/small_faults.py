"""Faults made on purpose: jobs that are killed, small disks, and what is compared afterwards."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from conftest import ROOT, snakemake_command

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
CORPUS = "results/tiny/data/news"  # the only output that takes a second
TARGET = "results/tiny/models/news/target"
# Trainings that are long enough to be disturbed.
LONGER = (*TINY, str(ROOT / "tests/killed.yaml"))
ONLY_TARGET = (*LONGER, "--", TARGET)


def wait_until(true: Callable[[], bool], seconds: float = 900) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


def start(folder: Path, *arguments: str, group: bool = False) -> subprocess.Popen[str]:
    """The workflow in the background.

    Args:
        group: in a process group of its own, as a shell starts it.
    """
    return subprocess.Popen(
        snakemake_command(*arguments),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
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


def training(folder: Path, run: subprocess.Popen[str], output: str = TARGET) -> psutil.Process:
    """The job of `run` in `folder` that trains `output`, once it has a whole checkpoint."""
    found: list[psutil.Process] = []

    def look() -> bool:
        nonlocal found
        whole = any((folder / "results/tiny/checkpoints").glob("*/checkpoint-*/trainer_state.json"))
        found = [job for job in scripts(folder) if whole and job.info["cmdline"][-1] == output]
        return bool(found) or run.poll() is not None

    wait_until(look)
    assert found, run.communicate()[1][-3000:]
    return found[0]


def end_all(folder: Path) -> None:
    """End what a test that failed has left running in `folder`, Snakemake first."""
    for process in psutil.process_iter(["cwd"]):
        if Path(process.info["cwd"] or "/").is_relative_to(folder):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def leftovers(folder: Path) -> list[str]:
    """What only a job or a run at work has."""
    return [
        path.relative_to(folder).as_posix()
        for pattern in (".*.partial", "checkpoint-*")
        for path in (folder / "results").rglob(pattern)
    ]


def told(text: str) -> list[str]:
    """The lines that are meant for the user."""
    return [line for line in text.splitlines() if line.startswith("error: ")]


@contextmanager
def small_disk(folder: Path, *options: str) -> Iterator[None]:
    """A file system in memory at `folder`.

    Args:
        options: of mount, e.g. size=2m.
    """
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(folder)]
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    if (done := subprocess.run(command, capture_output=True, text=True)).returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, *options: str) -> None:
    option = ",".join(("remount", *options))
    subprocess.run(["mount", "-o", option, str(folder)], check=True)
