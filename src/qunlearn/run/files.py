"""Outputs that are whole or absent, and JSON that is read with a useful complaint."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qunlearn.run.errors import InputError

DISK = {errno.ENOSPC: "make room", errno.EDQUOT: "make room"}
DISK |= dict.fromkeys((errno.EROFS, errno.EACCES), "make it writable")
FULL = 2**20  # bytes free, below which a library that could not write had no space


def disk_error(error: Exception, path: Path) -> InputError | None:
    """The one line for a full or closed disk, whichever library met it; None for other errors.

    safetensors and tokenizers raise errors of their own with the system's words, torch a
    RuntimeError without.

    Args:
        path: what was being written.
    """
    number = getattr(error, "errno", None)
    full = isinstance(error, RuntimeError) and shutil.disk_usage(existing(path.parent)).free < FULL
    if full or "No space left on device" in str(error):
        number = errno.ENOSPC
    if number not in DISK:
        return None
    closed = number in (errno.EROFS, errno.EACCES) and getattr(error, "filename", None)
    why = os.strerror(number).lower()
    return InputError(f"{closed or path}: {why}; {DISK[number]} and give the same command again")


def existing(path: Path) -> Path:
    """`path`, or its first parent that exists."""
    path = path.absolute()
    return path if path.exists() else existing(path.parent)


@contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) or (fault := disk_error(error, path)) is None:
            raise
        raise fault from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside `path` to write into; rename it to `path` when the block succeeds.

    A previous `path` is replaced. When the block fails, nothing is left behind.

    Raises:
        InputError: the disk is full or may not be written.
    """
    work = path.parent / f".{path.name}.partial"
    try:
        with _in_one_line(path):  # before what fills the disk is deleted
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            yield work
            # Else a folder could have its name after a power cut and its files no content; and some
            # file systems only now tell that they are full.
            for file in filter(Path.is_file, work.rglob("*")):
                with file.open("rb") as stream:
                    os.fsync(stream)
            if path.exists():
                shutil.rmtree(path)
            work.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def keep_record(model: Path, record: Path) -> None:
    """Copy what of an unlearned model always stays: its log, its manifest and its adapter."""
    with new_folder(record) as folder:
        for pattern in ("manifest.json", "train_log.jsonl", "adapter_*"):
            for file in model.glob(pattern):
                shutil.copyfile(file, folder / file.name)


def link_or_copy(source: Path, copy: Path) -> None:
    """A hard link to a file, or a copy where there can be no link."""
    try:
        os.link(source, copy)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, copy)


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8 so that `path` is never seen half-written; errors as `new_folder`."""
    work = path.parent / f".{path.name}.partial"
    with _in_one_line(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            work.write_text(text, encoding="utf-8")
            work.replace(path)
        finally:
            work.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, items: Iterable[Any]) -> None:
    """Write one JSON value a line."""
    write_text(path, "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items))


def read_json(path: Path) -> Any:
    """Read a JSON file; an InputError as `read_text`, or where it does not parse."""
    return _parse(read_text(path), f"{path}: not valid JSON")


def read_jsonl(path: Path) -> list[Any]:
    """Read one JSON value a line; an InputError as `read_text`, or where one does not parse."""
    # Not splitlines(), which also splits at U+2028 and its like; JSON writes those as they are.
    lines = read_text(path).removesuffix("\n").split("\n")
    return [
        _parse(line, f"{path}: line {number} is not valid JSON")
        for number, line in enumerate(lines if lines != [""] else [], start=1)
    ]


def _parse(text: str, problem: str) -> Any:
    try:
        return json.loads(text)
    except (RecursionError, ValueError) as error:  # nested too deep, or thousands of digits
        raise InputError(f"{problem} ({error}); fix or replace the file") from error


def sha256(path: Path) -> str:
    """The hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """Read a text file; an InputError where it is missing, unreadable, no file or not UTF-8."""
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device might never end
            raise InputError(f"{path}: a folder or a device; give a file")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; fix that, or give another file") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
