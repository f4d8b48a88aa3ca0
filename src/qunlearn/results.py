"""The folder that an experiment's outputs go to: ours to write, and of our time."""

import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from qunlearn import sources
from qunlearn.diskfaults import disk_fault
from qunlearn.errors import InputError


def check_notes(folder: Path) -> None:
    """Snakemake keeps its notes, in .snakemake, in the folder that it runs in.

    Raises:
        InputError: it cannot.
    """
    notes = folder / ".snakemake"
    place = notes if notes.exists() else folder
    if not os.access(place, os.W_OK | os.X_OK):
        raise InputError(
            f"{place.absolute()}: read-only, or not yours to write, and Snakemake keeps its notes "
            "there; run it in another folder (--directory)"
        )


def check_results(results: Path, given: Iterable[Path]) -> None:
    """Try to write, and compare the times of files with the clock that new files are stamped with.

    Snakemake makes again what is older than its inputs. What is made of an input from the future is
    out of date at once; an output from the future hides that its input has changed since.

    Args:
        results: of the experiment; made where it is missing.
        given: the user's files and folders that jobs read.

    Raises:
        InputError: a folder may not be written, or a file is from the future.
    """
    now = _now(results)
    for folder, _, _ in os.walk(results):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(
                f"{folder}: not yours to write; make it so, or run where the results are yours"
            )
    if _later(results, now):
        now = _now(results)  # a killed run's last jobs may still write
    if late := _later(results, now):
        raise InputError(
            f"{late[0]}: from the future, as {len(late)} of the files in {results} are: the clock "
            "was set back, and what is older than what cannot be told; delete them, or, where "
            f"nothing was changed since: find {results} -newermt '{_clock(now)}' "
            f"-exec touch -d '{_clock(now)}' {{}} +"
        )
    for place in given:
        if late := _later(place, now):
            raise InputError(
                f"{late[0]}: from the future ({_clock(late[0].lstat().st_mtime)}, and it is "
                f"{_clock(now)} now), so that what is made of it would be out of date at once; "
                "touch it, or copy it if it is not yours"
            )


def given_paths(config: Mapping[str, Any]) -> set[Path]:
    """The user's own files and folders that the jobs of a configuration read."""
    paths = set()
    for corpus in config["corpora"]:
        if config["corpus"]["source"] == "local":
            paths.add(Path(config["muse_dir"]) / corpus)
        for source in (
            *sources.used(config, corpus).values(),
            sources.tokenizer_of(config, corpus),
        ):
            if source is not None and source.kind == "folder":
                paths.add(Path(source.value))
            elif source is not None and source.kind == "gguf":
                paths.add(sources.gguf_file(source.value))
    return paths


def _now(results: Path) -> float:
    """The time that a new file in `results` gets, by the clock of whatever has the disk."""
    try:
        results.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=results) as probe:
            return os.fstat(probe.fileno()).st_mtime
    except OSError as error:
        raise disk_fault(error, results) or error from None


def _later(place: Path, now: float) -> list[Path]:
    """The files of `place`, or itself, that are from after `now`, in order."""
    late = []
    for path in _files(place):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime > now:
                late.append(path)
    return sorted(late)


def _files(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
    for folder, _, names in os.walk(place):
        yield from (Path(folder, name) for name in names)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
