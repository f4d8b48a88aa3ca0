"""Disks that are full or closed to us, told in one line whatever library met them."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import disk_usage

from qunlearn.errors import InputError

AGAIN = "give the same command again: it goes on from there"
FAULTS = {
    errno.ENOSPC: f"the disk is full; make room and {AGAIN}",
    errno.EDQUOT: f"the disk's quota is used up; make room and {AGAIN}",
    errno.EROFS: f"the disk is read-only; make it writable and {AGAIN}",
    errno.EACCES: "not allowed; make it yours to read and write, or use another folder",
}
CLOSED = (errno.EROFS, errno.EACCES)  # of one file: the one that the error names
TORCH_COULD_NOT_WRITE = ("iostream error", "inline_container.cc", "PytorchStreamWriter")
"""What torch.save says; it does not say why."""
FULL = 2**20  # bytes free, below which a write that failed has failed for that


@contextmanager
def told_of_disk(path: Path) -> Iterator[None]:
    """Turn what a library raises for a full or closed disk into one line that names `path`.

    Raises:
        InputError: the block failed for that.
    """
    try:
        yield
    except Exception as error:
        if (told := disk_fault(error, path)) is None:
            raise
        raise told from error


def disk_fault(error: BaseException, path: Path | None = None) -> InputError | None:
    """The line for `error`, or None where no disk is at fault.

    Args:
        path: what was being written.
    """
    if isinstance(error, InputError):
        return None
    number = _number(error, path)
    if number not in FAULTS:
        return None
    named = getattr(error, "filename", None)
    if named is None or (path is not None and number not in CLOSED):
        named = path or Path.cwd()
    return InputError(f"{named}: {FAULTS[number]}")


def _number(error: BaseException, path: Path | None) -> int | None:
    """The errno behind `error`: Rust and C++ libraries have it in their text, if at all."""
    if isinstance(error, OSError) and error.errno:
        return error.errno
    text = str(error)
    if found := re.search(r"os error (\d+)", text):
        return int(found[1])
    if "No space left on device" in text:
        return errno.ENOSPC
    if path is not None and any(words in text for words in TORCH_COULD_NOT_WRITE):
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if disk_usage(folder).free < FULL:
            return errno.ENOSPC
    return _number(error.__context__, path) if error.__context__ else None
