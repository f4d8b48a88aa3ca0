"""`manifest.json`: what made an output, from what, with what; and whether it is still so.

A folder that the workflow made has one, which lists the size and the SHA-256 of every file in it. A
folder without one is the user's own, and is taken as it is.
"""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from hashlib import sha256 as new_sha256
from importlib.metadata import PackageNotFoundError, version
from json import dumps
from pathlib import Path
from typing import Any

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, sha256, write_json
from qunlearn.run.hardware import device_name, instructions, peak_memory_mib

PACKAGES = [
    *("torch", "transformers", "peft", "bitsandbytes", "gptqmodel", "optimum", "auto-gptq"),
    *("libgguf", "tokenizers", "numpy", "rouge_score"),
]
MANIFEST = "manifest.json"
MODEL_INPUTS = "model_inputs"
"""In an evaluation's manifest: what its quantized model was made from, which may be gone since."""
WRITTEN = ("output", "checkpoints", "folder", "record", "records")
"""Names of a script's arguments that it writes into, rather than reads."""
CARD = "README.md"  # laid into a quantized model after its manifest was written
THREADS = 4
START = time.monotonic()  # near enough to the start of the job


def write_manifest(
    folder: Path,
    step: str,
    settings: Any,
    inputs: Mapping[str, Path | None],
    seed: int | None = None,
    **facts: Any,
) -> None:
    """Describe the finished `folder` in its `manifest.json`; call it last.

    Args:
        folder: the output; every file already in it is hashed under `outputs`.
        step: the name of the step, e.g. `unlearn`.
        settings: a dataclass or mapping, the resolved settings of this step.
        inputs: name -> file or folder that the step read, if any; recorded by content, not by path.
        facts: what else a reader should know, e.g. `status="diverged"`.
    """
    write_json(
        folder / MANIFEST,
        {
            "step": step,
            "seed": seed,
            "settings": asdict(settings) if is_dataclass(settings) else settings,  # type: ignore[arg-type]
            "inputs": {name: digest(path) for name, path in inputs.items() if path},
            "outputs": hash_files(folder),
            **facts,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "packages": installed(),
            "device": device_name(),
            "instructions": instructions(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "wall_seconds": round(time.monotonic() - START, 3),
            "peak_memory_mib": peak_memory_mib(),
        },
    )


def digest(path: Path) -> str:
    """SHA-256 of an input's content: of a file's bytes, or of a folder's names and hashes.

    A folder made by the workflow is known by the hashes in its manifest, so that a large
    checkpoint is not read again; times and paths have no part in it.
    """
    if path.is_file():
        return sha256(path)
    made = read_manifest(path)
    hashes = hash_files(path) if made is None else made["outputs"]
    return new_sha256(dumps(hashes, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest that the workflow wrote into a folder; None of a user's own folder."""
    if not (folder / MANIFEST).is_file():
        return None
    made: dict[str, Any] = read_json(folder / MANIFEST)
    try:
        ours = all({"sha256", "bytes"} <= entry.keys() for entry in made["outputs"].values())
    except (AttributeError, LookupError, TypeError):
        return None  # other programs have manifests too
    return made if ours else None


def inputs_of(folder: Path) -> Any:
    """What a folder's manifest says that its step read; nothing where the user made the folder."""
    return (read_manifest(folder) or {}).get("inputs", {})


def hash_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative path -> {sha256, bytes} of every file under `folder` but its manifest."""
    return {
        path.relative_to(folder).as_posix(): _entry(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }


def _entry(file: Path) -> dict[str, Any]:
    return {"sha256": sha256(file), "bytes": file.stat().st_size}


def check_inputs(arguments: Mapping[str, Any]) -> None:
    """`verify` every file and folder among a script's arguments that the workflow has made."""
    for name, value in arguments.items():
        for path in value if isinstance(value, list | tuple) else [value]:
            if isinstance(path, Path) and name not in WRITTEN:
                verify(path)


def verify(path: Path, *, content: bool = True) -> None:
    """Compare a folder, or one file of it, with its manifest.

    Besides what is listed there may be hidden files, a model card, and folders with a manifest of
    their own; anything else could be read in place of what was written.

    Args:
        path: a folder, or a file in one; without a manifest there is nothing to compare with.
        content: whether files are read and hashed, or looked at for their size alone.

    Raises:
        InputError: names the first file that is missing, of another size or content, or not listed.
    """
    folder = path if path.is_dir() else path.parent
    if (made := read_manifest(folder)) is None:
        return
    listed = made["outputs"]
    if path != folder:
        listed = {name: entry for name, entry in listed.items() if name == path.name}
    else:
        _check_strangers(folder, listed)

    def fault(name: str) -> str | None:
        file, entry = folder / name, listed[name]
        try:
            if (size := file.stat().st_size) != entry["bytes"]:
                return f"{size} bytes instead of {entry['bytes']}"
            changed = content and sha256(file) != entry["sha256"]
            return "other content than when it was written" if changed else None
        except FileNotFoundError:
            return "missing"

    with ThreadPoolExecutor(THREADS) as pool:  # hashing lets other threads work
        for name, found in zip(listed, pool.map(fault, listed), strict=True):
            if found:
                raise InputError(
                    f"{folder / name}: {found}; put it back, or delete {folder} and give the "
                    f"command again that makes it; if the change is meant, delete its {MANIFEST}"
                )


def _check_strangers(folder: Path, listed: Mapping[str, Any]) -> None:
    for file in sorted(folder.rglob("*")):
        place = file.relative_to(folder)
        if place.as_posix() in listed or str(place) in (MANIFEST, CARD) or not file.is_file():
            continue
        hidden = any(part.startswith(".") for part in place.parts)
        others = any((folder / parent / MANIFEST).exists() for parent in list(place.parents)[:-1])
        if not hidden and not others:
            raise InputError(f"{file}: not listed in {folder / MANIFEST}; remove it")


def installed() -> dict[str, str]:
    """The versions of the packages that decide numbers, without importing them."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def git_commit() -> str | None:
    """The commit of the checkout that this code runs from, `+changed` if the tree differs."""
    root = str(Path(__file__).resolve().parents[3])
    command = ["git", "-C", root, "describe", "--always", "--abbrev=40", "--dirty=+changed"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # an unpacked archive, or no git here


def fingerprint(**parts: Any) -> str:
    """Sixteen hex digits of what decides a run, to tell its checkpoints from another run's.

    Args:
        parts: JSON values, dataclasses, or paths (which count by their content).
    """

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return digest(value)
        return asdict(value) if is_dataclass(value) else str(value)  # type: ignore[arg-type]

    return new_sha256(dumps(parts, sort_keys=True, default=plain).encode()).hexdigest()[:16]
