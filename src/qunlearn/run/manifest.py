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

from qunlearn.run.files import read_json, sha256, write_json
from qunlearn.run.hardware import cpu_name

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
MODEL_INPUTS = "model_inputs"
"""In an evaluation's manifest: what its quantized model was made from, which may be gone since."""


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
    **facts: Any,
) -> None:
    """Describe the finished `folder` in its `manifest.json`; call it last.

    Args:
        folder: the output; every file already in it is hashed under `outputs`.
        step: the name of the step, e.g. `unlearn`.
        settings: a dataclass or mapping, the resolved settings of this step.
        inputs: name -> file or folder that the step read; recorded by content, not by path.
        facts: what else a reader should know, e.g. `status="diverged"`.
    """
    write_json(
        folder / MANIFEST,
        {
            "step": step,
            "seed": seed,
            "settings": asdict(settings) if is_dataclass(settings) else settings,  # type: ignore[arg-type]
            "inputs": {name: digest(path) for name, path in inputs.items()},
            "outputs": hash_files(folder),
            **facts,
            "git_commit": git_commit(),
            "python": platform.python_version(),
            "packages": installed(),
            "device": device_name(),
            "instructions": instructions(),
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
    hashes = outputs_of(path)
    if hashes is None:
        hashes = hash_files(path)
    return new_sha256(dumps(hashes, sort_keys=True).encode()).hexdigest()


def outputs_of(folder: Path) -> dict[str, dict[str, Any]] | None:
    """What a folder's manifest lists, as `hash_files` gives it; None of a user's own folder.

    Raises:
        InputError: the manifest does not parse.
    """
    if not (folder / MANIFEST).is_file():
        return None
    made = read_json(folder / MANIFEST)
    outputs = made.get("outputs") if isinstance(made, dict) else None
    ours = isinstance(outputs, dict) and all(
        isinstance(entry, dict) and {"sha256", "bytes"} <= entry.keys()
        for entry in outputs.values()
    )
    return outputs if ours else None  # other programs have manifests too


def inputs_of(folder: Path) -> dict[str, str]:
    """What a folder's manifest says that its step read; nothing where the user made the folder."""
    if outputs_of(folder) is None:
        return {}
    found: dict[str, str] = read_json(folder / MANIFEST).get("inputs", {})
    return found


def hash_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Relative path -> {sha256, bytes} of every file under `folder` but its manifest."""
    described = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / MANIFEST:
            name = path.relative_to(folder).as_posix()
            described[name] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    return described


def list_again(folder: Path, name: str) -> None:
    """Bring a manifest's entry up to date with a file that was written anew."""
    made = read_json(folder / MANIFEST)
    file = folder / name
    made["outputs"][name] = {"sha256": sha256(file), "bytes": file.stat().st_size}
    write_json(folder / MANIFEST, made)


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
    root = Path(__file__).resolve().parents[3]
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
    return cpu_name()


def instructions() -> str | None:
    """The vector instructions that torch's kernels use here, e.g. AVX2 or AVX512_BF16.

    None without torch, and where a GPU computes.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.cuda.is_available():
        return None
    found = str(torch.backends.cpu.get_cpu_capability())
    # Products in bf16 are oneDNN's, which has its own idea of what the processor may be asked.
    bf16 = torch.cpu._is_avx512_bf16_supported() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return f"{found}_BF16" if found == "AVX512" and bf16 else found


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


def made_by(folder: Path, run: str) -> bool:
    """Whether the training with the fingerprint `run` has made `folder`."""
    made = folder / MANIFEST
    return made.is_file() and read_json(made).get("run") == run
