"""Whether what a job reads is still what was written: by its manifest, and by a file's own header.

A folder that the workflow made has a manifest.json, which lists the size and the SHA-256 of every
file in it. A folder without one is the user's own, and is taken as it is.
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from qunlearn.run.errors import InputError
from qunlearn.run.files import sha256
from qunlearn.run.manifest import MANIFEST, outputs_of

WRITTEN = ("output", "checkpoints", "folder")
"""Names of a script's arguments that it writes into, rather than reads."""
CARD = "README.md"  # laid into a quantized model after its manifest was written
THREADS = 4
LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
AGAIN = (
    "put it back as it was, or delete {folder} and give the command again that makes it and what "
    "follows from it"
)


def check_inputs(arguments: Mapping[str, Any]) -> None:
    """Verify every file and folder among a script's arguments that the workflow has made.

    Raises:
        InputError: as `verify` does.
    """
    for name, value in arguments.items():
        for path in value if isinstance(value, list | tuple) else [value]:
            if isinstance(path, Path) and name not in WRITTEN:
                verify(path)


def verify(path: Path, *, content: bool = True, mend: str = AGAIN) -> None:
    """Compare a folder, or one file of it, with its manifest.

    Sizes first, which finds what was cut short without reading it; then hashes, several files at
    a time (hashing lets other threads work). Besides what is listed there may be hidden files, a
    model card, and folders with a manifest of their own; anything else could be read in place of
    what was written.

    Args:
        path: a folder, or a file in one; without a manifest there is nothing to compare with.
        content: whether files are read and hashed, or looked at for their size alone.
        mend: what the user is to do; `{folder}` stands for the folder.

    Raises:
        InputError: names the first file that is missing, of another size or content, unreadable,
            or not listed.
    """
    folder = path if path.is_dir() else path.parent
    listed = outputs_of(folder)
    if listed is None:
        return
    advice = mend.format(folder=folder)
    if path != folder:
        listed = {name: entry for name, entry in listed.items() if name == path.name}
    elif stranger := next(_strangers(folder, listed), None):
        raise InputError(
            f"{stranger}: not listed in {folder / MANIFEST}, so another program put it there; "
            "remove it"
        )
    for name, entry in listed.items():
        _check_size(folder / name, entry["bytes"], advice)
    if content:
        with ThreadPoolExecutor(THREADS) as pool:
            found = pool.map(lambda name: _hash(folder / name, advice), listed)
            for (name, entry), digest in zip(listed.items(), found, strict=True):
                if digest != entry["sha256"]:
                    raise InputError(
                        f"{folder / name}: other content than when it was written (its SHA-256 is "
                        f"{digest[:12]}…, not {entry['sha256'][:12]}…); {advice}"
                    )


def check_safetensors(file: Path) -> None:
    """Compare a safetensors file's size with what its header says, without reading any tensor.

    The format: 8 bytes with the length of the header (little endian), the header (JSON: each
    tensor's first and last offset in the data), the data without gaps.
    https://github.com/huggingface/safetensors#format

    Raises:
        InputError: the file is shorter or longer, or is no safetensors file.
    """
    if not file.is_file():  # a pipe would be waited for, for ever
        raise InputError(f"{file}: no file; copy the checkpoint again")
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = int.from_bytes(stream.read(8), "little")
        if size < 8 or start > size - 8:
            raise InputError(f"{file}: {size} bytes, which end within its header; copy it again")
        try:
            header = json.loads(stream.read(min(start, LONGEST_HEADER)))
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            wanted = 8 + start + max((entry["data_offsets"][1] for entry in tensors), default=0)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            raise InputError(
                f"{file}: no safetensors file, or one whose header is damaged; copy it again"
            ) from None
    if size != wanted:
        raise InputError(f"{file}: {size} bytes instead of {wanted}; copy it again")


def _strangers(folder: Path, listed: Mapping[str, Any]) -> Iterator[Path]:
    """Files of a folder that its manifest should list and does not."""
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if place.as_posix() in listed or str(place) in (MANIFEST, CARD) or not file.is_file():
            continue
        hidden = any(part.startswith(".") for part in place.parts)
        others = any((folder / parent / MANIFEST).exists() for parent in list(place.parents)[:-1])
        if not hidden and not others:
            yield file


def _check_size(file: Path, wanted: int, advice: str) -> None:
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise InputError(f"{file}: missing; {advice}") from None
    except OSError as error:
        raise _unreadable(file, error, advice) from error
    if size != wanted:
        raise InputError(f"{file}: {size} bytes instead of {wanted}; {advice}")


def _hash(file: Path, advice: str) -> str:
    try:
        return sha256(file)
    except OSError as error:  # a disk that fails, or a file that others may not read
        raise _unreadable(file, error, advice) from error


def _unreadable(file: Path, error: OSError, advice: str) -> InputError:
    return InputError(f"{file}: cannot be read ({error.strerror}); {advice}")
