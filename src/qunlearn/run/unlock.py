"""Let the same command go on after a run was killed.

Snakemake's locks are files in .snakemake/locks: they refuse a second run, but outlive a run that
is killed (kill -9, a power cut). So each run leaves a note beside them, and locks it by the kernel,
whose locks end with their process. Where nobody holds any note, Snakemake's locks protect nobody.
"""

import os
import socket
import sys
from pathlib import Path

from filelock import FileLock, Timeout

LOCKS = Path(".snakemake/locks")  # in the folder that Snakemake runs in
_held: list[FileLock] = []  # until this process ends


def note_run() -> None:
    """Leave this run's note; call it once Snakemake has its locks, with which it deletes notes."""
    _held.append(FileLock(LOCKS / f"{os.getpid()}.run.{socket.gethostname()}"))
    _held[-1].acquire()


def unlock_after_kill() -> None:
    """Delete Snakemake's locks where every run that left a note was killed; say so on stderr."""
    notes = list(LOCKS.glob("*.run.*"))
    if notes and all(map(_was_killed, notes)):
        print("the last run here was killed: removing its locks", file=sys.stderr)
        for file in LOCKS.iterdir():
            file.unlink(missing_ok=True)


def _was_killed(note: Path) -> bool:
    """Whether a run is gone for certain, which can be seen of one on this machine."""
    try:
        with FileLock(note, timeout=0):
            return note.name.endswith(f".run.{socket.gethostname()}")
    except Timeout:
        return False
