"""`manifest.json`: what made an output, from what, with what, and how long it took."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from hashlib import sha256 as new_sha256
from importlib.metadata import PackageNotFoundError, version
from json import dumps
from pathlib import Path
from typing import Any

from qunlearn.files import read_json, sha256, write_json

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "gptqmodel",
    "optimum",
    "auto-gptq",
    "tokenizers",
    "numpy",
    "rouge_score",
)
MANIFEST = "manifest.json"


class Stopwatch:
    """Wall seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far, to the millisecond."""
        return round(time.monotonic() - self._start, 3)


def write_manifest(
    folder: Path,
    *,
    step: str,
    settings: Any,
    inputs: Mapping[str, Path],
    stopwatch: Stopwatch,
    seed: int | None = None,
    hashes: Mapping[str, str] | None = None,
    **facts: Any,
) -> None:
    """Describe the finished `folder` in its `manifest.json`; call it last.

    Args:
        folder: the output; every file already in it is hashed under `outputs`.
        step: the name of the step, e.g. `unlearn`.
        settings: a dataclass or mapping, the resolved settings of this step.
        inputs: name -> file or folder that the step read; recorded by content, not by path.
        hashes: relative path -> SHA-256 of files that need not be read for it.
        facts: what else a reader should know, e.g. `status="diverged"`.
    """
    write_json(
        folder / MANIFEST,
        {
            "step": step,
            "seed": seed,
            "settings": asdict(settings) if is_dataclass(settings) else settings,  # type: ignore[arg-type]
            "inputs": {name: digest(path) for name, path in inputs.items()},
            "outputs": hash_files(folder, hashes),
            **facts,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "packages": installed(),
            "device": device_name(),
            "threads": os.environ.get("OMP_NUM_THREADS"),
            "wall_seconds": stopwatch.seconds,
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
    manifest = path / MANIFEST
    hashes = read_json(manifest)["outputs"] if manifest.exists() else hash_files(path)
    return new_sha256(dumps(hashes, sort_keys=True).encode()).hexdigest()


def hash_files(folder: Path, known: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    """Relative path -> {sha256, bytes} of every file under `folder` but its manifest.

    Args:
        folder: what is described.
        known: relative path -> SHA-256 of files that need not be read for it.
    """
    described = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            name = path.relative_to(folder).as_posix()
            found = (known or {}).get(name) or sha256(path)
            described[name] = {"sha256": found, "bytes": path.stat().st_size}
    return described


def installed() -> dict[str, str]:
    """The versions of the packages that decide numbers, without importing them."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """The commit of the checkout that this code runs from, `+changed` if the tree differs."""
    root = Path(__file__).resolve().parents[2]
    try:
        described = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty=+changed"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None  # an unpacked archive, or no git here
    return described.stdout.strip()


def device_name() -> str:
    """The GPU's name when torch is loaded and sees one, else the CPU's."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return platform.processor() or platform.machine()


def peak_memory_mib() -> int:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // (1024 * 1024) if sys.platform == "darwin" else peak // 1024


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
