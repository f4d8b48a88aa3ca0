"""One run at a time for an experiment, and no lock that outlives the run.

Snakemake's own locks are files: a run that is killed leaves them behind, and a run that ends
deletes those of all others in its folder. So a run also holds the kernel's lock on a file of the
experiment, which says who it is and which of Snakemake's locks are its own. Where that file is
there and nobody holds it, its run was killed, and its locks serve nobody.
"""

import atexit
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from qunlearn.errors import InputError
from qunlearn.locks import NoLocksError, give_back, take

RUN = ".run"  # in the experiment's folder
LOCKS = Path(".snakemake/locks")  # in the folder that Snakemake runs in


def hold(results: Path) -> None:
    """Hold the experiment until this process ends; call it once Snakemake has its own lock.

    Raises:
        InputError: another run holds it.
    """
    file = results / RUN
    try:
        held = take(file)
    except NoLocksError:
        return  # Snakemake's locks are left
    if held is None:
        raise InputError(
            f"{results}: {_described(_read(file))} is at work there; wait until it ends, or stop it"
        )
    record = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "locks": [_identity(lock) for lock in _locks_of(results)],
    }
    os.ftruncate(held, 0)
    os.write(held, json.dumps(record).encode())
    atexit.register(give_back, held, file)


def take_over(results: Path) -> None:
    """Delete the locks that a killed run of the experiment has left; say so on stderr.

    Only of a run on this machine: there its lock, and whether it is held, is beyond doubt. Of a run
    that is at work, say which one it is.
    """
    file = results / RUN
    record = _read(file)
    if record is None or record.get("host") != socket.gethostname():
        return
    try:
        held = take(file)
    except (NoLocksError, OSError):
        return
    if held is None:
        print(f"{results}: {_described(record)} is at work there", file=sys.stderr)
        return
    record = _read(file) or {}
    left = [lock for lock in _locks_of(results) if _identity(lock) in record.get("locks", [])]
    for lock in left:
        lock.unlink(missing_ok=True)
    if left:
        print(f"{results}: {_described(record)} was killed; its locks are gone", file=sys.stderr)
    give_back(held, file)


def _locks_of(results: Path) -> Iterator[Path]:
    """Snakemake's lock files that name an output of the experiment."""
    for lock in sorted(LOCKS.glob("*.lock")):
        with suppress(OSError):
            lines = lock.read_text(encoding="utf-8").splitlines()
            if any(line.startswith(f"{results}/") for line in lines):
                yield lock


def _identity(lock: Path) -> list[Any]:
    """A later lock may have the name of an earlier one, but not its time too."""
    found = lock.stat()
    return [lock.name, found.st_ino, found.st_mtime_ns]


def _read(file: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _described(record: dict[str, Any] | None) -> str:
    if record is None:
        return "another run"
    return "the run of {started} (process {process} on {host})".format_map(
        {"started": "?", "process": "?", "host": "?"} | record
    )
