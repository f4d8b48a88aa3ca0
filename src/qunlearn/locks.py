"""One process at a time where two would spoil each other's work.

The lock is the kernel's (flock): it ends with the process that holds it, however that ends, so that
nothing is to be unlocked after a kill or a power cut. On NFS 4 and on Lustre with `-o flock` it is
between machines too. Where a file system has no locks, the work goes on without.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class NoLocksError(Exception):
    """The file system has none."""


@contextmanager
def exclusive(path: Path) -> Iterator[bool]:
    """Keep other processes from `path`; wait for one that is there first.

    While the block runs there is a file `.<name>.lock` beside `path`.

    Yields:
        Whether another process had to be waited for.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.parent / f".{path.name}.lock"
    waited = False
    try:
        held = take(file)
        if held is None:
            waited = True
            print(f"another process is writing {path}: waiting until it ends", flush=True)
            held = take(file, wait=True)
    except NoLocksError:
        held = None
    try:
        yield waited
    finally:
        if held is not None:
            give_back(held, file)


def take(file: Path, *, wait: bool = False) -> int | None:
    """Lock `file`, which is made where it is missing; None where another process has it.

    Returns:
        The open descriptor that the lock ends with.

    Raises:
        NoLocksError: the file system has no locks.
    """
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            # Whoever had it may have deleted it meanwhile; then others lock a new file.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), file.stat()):
                    return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            if error.errno in _NO_LOCKS:
                file.unlink(missing_ok=True)
                raise NoLocksError(str(file)) from error
            raise
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def give_back(descriptor: int, file: Path) -> None:
    """Delete the locked `file`, and end the lock."""
    file.unlink(missing_ok=True)  # first: whoever gets the lock then sees that it is gone
    os.close(descriptor)
