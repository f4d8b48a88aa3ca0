"""What went wrong between us and the hub, in one line; and whether to try again.

The texts of the errors themselves are never shown: they hold signed addresses, and their advice is
about another library's arguments.
"""

import errno
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import urlsplit

from qunlearn.errors import InputError

Kind = Literal["model", "dataset"]
T = TypeVar("T")

PASSING = (408, 425, 429, 500, 502, 503, 504)
"""HTTP status codes that may be gone in a minute."""

COPY = {
    "dataset": "corpus.source: local, with muse_dir naming the folder that holds it",
    "model": "the folder's path in place of hub:… under models",
}


@dataclass(frozen=True)
class Asked:
    """What was asked of the hub: a repository at a commit (none: at its present one)."""

    repo_id: str
    kind: Kind
    revision: str | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.repo_id}"

    @property
    def page(self) -> str:
        """Where a person can look at it."""
        prefix = "datasets/" if self.kind == "dataset" else ""
        return f"https://huggingface.co/{prefix}{self.repo_id}"

    @property
    def copy(self) -> str:
        """How to do without the hub."""
        return f"give a local copy: {COPY[self.kind]}"


def patiently(call: Callable[[], T], asked: Asked, attempts: int) -> T:
    """Do `call`, again and again while its failure may pass: after 1, 2, 4, … seconds.

    Raises:
        InputError: it failed for good, or `attempts` times.
    """
    import httpx2

    for attempt in range(1, attempts + 1):
        try:
            return call()
        except (OSError, ValueError, httpx2.HTTPError) as error:
            reason = cause(error)
            if attempt == attempts or not may_pass(reason):
                raise complaint(reason, asked, attempt) from error
            pause = max(2 ** (attempt - 1), retry_after(reason))
            print(
                f"{asked}: {type(reason).__name__}; trying again in {pause} s "
                f"({attempt} of {attempts})",
                file=sys.stderr,
                flush=True,
            )
            time.sleep(pause)
    raise AssertionError("unreachable: the last attempt returns or raises")


def status(error: BaseException) -> int | None:
    """The HTTP status of the answer behind `error`; none where there was no answer."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None


def cause(error: BaseException) -> BaseException:
    """What really happened: the library hides it behind "not in the cache either"."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    while isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def may_pass(error: BaseException) -> bool:
    """Whether the same request could succeed a little later."""
    import httpx2

    if (code := status(error)) is not None:
        return code in PASSING
    broken_off = type(error) is OSError and error.errno is None  # fewer bytes than announced
    return broken_off or (
        isinstance(error, httpx2.TransportError)
        and not isinstance(error, httpx2.UnsupportedProtocol)
    )


def retry_after(error: BaseException) -> int:
    """The seconds that the hub asks to wait for, at most five minutes; 0 if it says nothing."""
    headers = getattr(getattr(error, "response", None), "headers", {})
    asked = headers.get("Retry-After", "")
    return min(int(asked), 300) if asked.isdecimal() else 0


def complaint(error: BaseException, asked: Asked, attempts: int) -> InputError:
    """The one line that tells a user what to do about `error`."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        FileMetadataError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
    )

    if (code := status(error)) is not None:
        return _refused(code, error, asked, attempts)
    if isinstance(error, OfflineModeIsEnabled | LocalEntryNotFoundError):
        commit = f" at {asked.revision}" if asked.revision else ""
        return InputError(
            f"{asked}: not, or not wholly, in the cache {constants.HF_HUB_CACHE}{commit}, and "
            f"HF_HUB_OFFLINE is set; download once with network: HF_HUB_OFFLINE=0, or {asked.copy}"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(asked, Path(constants.HF_HUB_CACHE))
    if isinstance(error, OSError) and error.errno is not None:
        place = error.filename or constants.HF_HUB_CACHE
        return InputError(
            f"{asked}: {place}: {error.strerror}; mend that, or set HF_HOME to another folder"
        )
    if isinstance(error, FileMetadataError | ValueError):
        return InputError(
            f"{asked}: {_endpoint()} does not answer as the hub does; check HF_ENDPOINT and "
            f"the proxy, or {asked.copy}"
        )
    return InputError(
        f"{asked}: no connection to {_endpoint()} ({attempts} attempts, the last one: "
        f"{type(error).__name__}); check the network, or {asked.copy}"
    )


def disk_full(asked: Asked, folder: Path, needed: int | None = None) -> InputError:
    """The line for a disk without room for `needed` bytes more (none: it just ran full)."""
    free = shutil.disk_usage(folder).free
    need = "" if needed is None else f"{needed / 1e9:.1f} GB are needed, "
    return InputError(
        f"{asked}: the disk of {folder} is full ({need}{free / 1e9:.1f} GB are free); make room "
        "and give the command again, which keeps what has arrived, or set HF_HOME to a larger disk"
    )


def _endpoint() -> str:
    """The hub's address, or its mirror's, without a name and password that may be in it."""
    from huggingface_hub import constants

    parts = urlsplit(constants.ENDPOINT)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _refused(code: int, error: BaseException, asked: Asked, attempts: int) -> InputError:
    """The line for an answer that was not a success."""
    from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return InputError(
            f"{asked}: has no commit or branch {asked.revision}; write one of "
            f"{asked.page}/commits/main under revisions"
        )
    if isinstance(error, EntryNotFoundError):
        return InputError(f"{asked}: a file is missing at {asked.revision}; pin another commit")
    if code in (401, 403):
        return InputError(
            f"{asked}: access refused (HTTP {code}), so it is gated, private or misspelt; accept "
            f"the licence at {asked.page}, then `hf auth login` (or set HF_TOKEN), or {asked.copy}"
        )
    if code == 404:
        return InputError(
            f"{asked}: no such repository; check the id at {asked.page}, or {asked.copy}"
        )
    tried = f" after {attempts} attempts" if code in PASSING else ""
    return InputError(
        f"{asked}: {_endpoint()} answers HTTP {code}{tried}; try again later (what has "
        f"arrived is kept), or {asked.copy}"
    )
