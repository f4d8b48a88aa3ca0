"""Manifests, digests and fingerprints: what made an output, by content."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from qunlearn.run.files import read_json, sha256, write_text
from qunlearn.run.manifest import (
    MANIFEST,
    Stopwatch,
    digest,
    fingerprint,
    hash_files,
    write_manifest,
)
from qunlearn.settings.training import TrainSettings

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def output(folder: Path, text: str = "abc", **facts: Any) -> Path:
    """A small output with its manifest, which also has a fact of each kind."""
    write_text(folder / "part" / "weights", text)
    source = folder.parent / "source.txt"
    write_text(source, "abc")
    write_manifest(
        folder,
        step="train",
        settings=TrainSettings(lr=0.5),
        inputs={"source": source},
        stopwatch=Stopwatch(),
        seed=3,
        **facts,
    )
    return folder


def test_sha256_of_a_known_text(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == SHA256_OF_ABC


def test_a_manifest_says_what_made_an_output(tmp_path: Path) -> None:
    folder = output(tmp_path / "model", status="diverged")
    manifest = read_json(folder / MANIFEST)
    assert manifest["step"] == "train"
    assert manifest["seed"] == 3
    assert manifest["status"] == "diverged"
    assert manifest["settings"]["lr"] == 0.5
    assert manifest["settings"]["checkpoint_every"] == 100
    assert manifest["inputs"] == {"source": SHA256_OF_ABC}
    assert manifest["outputs"] == {"part/weights": {"sha256": SHA256_OF_ABC, "bytes": 3}}
    assert manifest["packages"]["torch"].startswith("2.")
    assert manifest["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["wall_seconds"] >= 0
    assert 10 < manifest["peak_memory_mib"] < 100_000
    assert str(tmp_path) not in json.dumps(manifest)  # content, not places


def test_digest_of_a_folder_is_its_names_and_contents(tmp_path: Path) -> None:
    first = tmp_path / "first"
    write_text(first / "a" / "b", "abc")
    expected = json.dumps({"a/b": {"bytes": 3, "sha256": SHA256_OF_ABC}})
    assert digest(first) == hashlib.sha256(expected.encode()).hexdigest()
    moved = Path(shutil.copytree(first, tmp_path / "moved"))
    assert digest(moved) == digest(first)
    (moved / "a" / "b").rename(moved / "a" / "c")
    assert digest(moved) != digest(first)


def test_digest_of_an_output_is_the_same_with_and_without_its_manifest(tmp_path: Path) -> None:
    folder = output(tmp_path / "model")
    known = digest(folder)
    (folder / MANIFEST).unlink()
    assert digest(folder) == known


def test_digest_forgets_times_and_facts(tmp_path: Path) -> None:
    first = output(tmp_path / "first", wall="short")
    second = output(tmp_path / "second", wall="long")
    other = output(tmp_path / "other", text="abd")
    assert digest(first) == digest(second) != digest(other)


def test_nested_manifests_count_as_content(tmp_path: Path) -> None:
    write_text(tmp_path / MANIFEST, "{}")
    write_text(tmp_path / "model" / MANIFEST, "{}")
    assert list(hash_files(tmp_path)) == [f"model/{MANIFEST}"]


def test_fingerprint_tells_runs_apart_by_content(tmp_path: Path) -> None:
    model = output(tmp_path / "model")
    twin = output(tmp_path / "twin")
    other = output(tmp_path / "other", text="abd")

    def of(**changes: Any) -> str:
        parts: dict[str, Any] = {"seed": 0, "settings": TrainSettings(), "inputs": {"base": model}}
        return fingerprint(**(parts | changes))

    assert re.fullmatch("[0-9a-f]{16}", of())
    assert of() == of()
    assert of(inputs={"base": twin}) == of()
    changed = [
        of(seed=1),
        of(settings=TrainSettings(lr=1.0)),
        of(inputs={"base": other}),
        of(inputs={"target": model}),
        of(objective="ga"),
    ]
    assert len({of(), *changed}) == 6


def test_fingerprint_is_the_same_in_another_process() -> None:
    """Python's own hashes differ from process to process, which must not matter."""
    code = "from qunlearn.run.manifest import fingerprint; print(fingerprint(b='x', a={'k': [1]}))"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there == fingerprint(a={"k": [1]}, b="x")
