"""Outputs, manifests and the fingerprints of code: what is whole, stable and noticed."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qunlearn import codeversion
from qunlearn.codeversion import code_version
from qunlearn.errors import InputError
from qunlearn.files import (
    new_folder,
    read_json,
    read_jsonl,
    sha256,
    write_json,
    write_jsonl,
    write_text,
)
from qunlearn.provenance import (
    MANIFEST,
    Stopwatch,
    digest,
    fingerprint,
    hash_files,
    write_manifest,
)
from qunlearn.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- Folders ---------------------------------------------------------------------------------


def test_a_new_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "output"
    with new_folder(path) as work:
        (work / "a").write_text("abc")
        assert work.parent == path.parent  # one file system, so that renaming is atomic
        assert not path.exists()
    assert names(path) == ["a"]
    assert names(path.parent) == ["output"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "output") as work:
        (work / "half").touch()
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_a_failure_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.mkdir()
    (path / "old").touch()
    with pytest.raises(ValueError, match="broken"), new_folder(path) as work:
        (work / "new").touch()
        raise ValueError("broken")
    assert names(tmp_path) == ["output"]
    assert names(path) == ["old"]


def test_success_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.mkdir()
    (path / "old").touch()
    with new_folder(path) as work:
        (work / "new").touch()
    assert names(path) == ["new"]


def test_what_a_kill_left_is_not_built_upon(tmp_path: Path) -> None:
    left = tmp_path / ".output.partial"
    left.mkdir()
    (left / "half").touch()
    with new_folder(tmp_path / "output") as work:
        assert work == left
        (work / "new").touch()
    assert names(tmp_path / "output") == ["new"]


# --- JSON ------------------------------------------------------------------------------------

VALUES: list[Any] = [{"a": [1, 2.5, None, True]}, "ünïcode – “quotes”", [], "line\nbreak", 0.1]


def test_json_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "values.json"
    write_json(path, VALUES)
    assert read_json(path) == VALUES
    assert path.read_text(encoding="utf-8").endswith("]\n")
    assert "ünïcode" in path.read_text(encoding="utf-8")
    assert names(path.parent) == ["values.json"]


def test_jsonl_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    write_jsonl(path, VALUES)
    assert path.read_bytes().count(b"\n") == len(VALUES)
    assert read_jsonl(path) == VALUES


@pytest.mark.parametrize("code", [0x0B, 0x0C, 0x1C, 0x85, 0x2028, 0x2029])
def test_characters_that_python_takes_for_line_ends(code: int, tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    values = [f"one{chr(code)}two", "three"]
    write_jsonl(path, values)
    assert read_jsonl(path) == values


def test_an_empty_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    write_jsonl(path, [])
    assert path.read_bytes() == b""
    assert read_jsonl(path) == []


def test_jsonl_without_a_final_newline(tmp_path: Path) -> None:
    path = tmp_path / "values.jsonl"
    path.write_bytes(b'{"a": 1}\r\n2')
    assert read_jsonl(path) == [{"a": 1}, 2]


@pytest.mark.parametrize("read", [read_json, read_jsonl])
def test_a_missing_file(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "absent.json"
    with pytest.raises(InputError, match=re.escape(f"{path}: no such file")):
        read(path)


@pytest.mark.parametrize("read", [read_json, read_jsonl])
def test_a_file_in_another_encoding(read: Any, tmp_path: Path) -> None:
    path = tmp_path / "latin.json"
    path.write_bytes('"größe"'.encode("latin-1"))
    with pytest.raises(InputError, match=re.escape(f"{path}: not UTF-8 at byte 3")):
        read(path)


def test_a_broken_json(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"a": 1,\n  b: 2}')
    with pytest.raises(InputError) as caught:
        read_json(path)
    assert str(caught.value).startswith(f"{path}: not valid JSON at line 2, column 3 (")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"), [("{}\n{\n", 2), ("1\n\n2\n", 2), ("\n", 1), ("{}\nx", 2)]
)
def test_a_broken_jsonl(text: str, line: int, tmp_path: Path) -> None:
    path = tmp_path / "broken.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=re.escape(f"{path}: line {line} is not valid JSON")):
        read_jsonl(path)


def test_a_value_that_json_lacks_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "values.json"
    write_json(path, 1)
    with pytest.raises(TypeError):
        write_json(path, {1, 2})
    assert read_json(path) == 1
    assert names(tmp_path) == ["values.json"]


# --- Manifests -------------------------------------------------------------------------------


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
    code = "from qunlearn.provenance import fingerprint; print(fingerprint(b='x', a={'k': [1]}))"
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there == fingerprint(a={"k": [1]}, b="x")


# --- Versions of code ------------------------------------------------------------------------

SCRIPT = '''"""A script."""

from qunlearn.direct import first


def main() -> None:
    """Do it."""
    from qunlearn import plain  # found inside a function, too

    print(first() + plain.VALUE)
'''
DIRECT = '''"""Imported by the script."""

import qunlearn.indirect


def first() -> int:
    return qunlearn.indirect.second() + 1
'''
INDIRECT = '''"""Imported by an import, and importing it back."""

import json


def second() -> int:
    import qunlearn.direct

    return len(json.dumps([qunlearn.direct.__name__]))
'''


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script beside a small package of its own."""
    package = tmp_path / "src" / "qunlearn"
    texts = {"direct": DIRECT, "indirect": INDIRECT, "plain": "VALUE = 2\n", "unused": "X = 1\n"}
    for name, text in texts.items():
        write_text(package / f"{name}.py", text)
    write_text(package / "__init__.py", "")
    path = tmp_path / "script.py"
    write_text(path, SCRIPT)
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    yield path
    codeversion._parsed.cache_clear()


def changed(script: Path, module: str, old: str, new: str) -> bool:
    """Whether putting `new` for `old` in a module (or the script) changes the version."""
    before = code_version(script)
    assert re.fullmatch("[0-9a-f]{12}", before)
    path = script if module == "script" else codeversion.PACKAGE / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    codeversion._parsed.cache_clear()
    return code_version(script) != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("script", "  # found inside a function, too", ""),
        ("script", '"""Do it."""', '"""Do it\n\n    at once.\n    """'),
        ("script", '"""Do it."""\n', "\n"),
        ("script", '"""A script."""\n', "# A comment\n\n"),
        ("script", "first() + plain.VALUE", "(first()  +\n        plain.VALUE)"),
        ("indirect", '"""Imported by an import, and importing it back."""', ""),
        ("indirect", "import json\n", "import json  # a comment\n"),
        ("unused", "X = 1", "X = 2"),
    ],
)
def test_what_does_not_count(script: Path, module: str, old: str, new: str) -> None:
    assert not changed(script, module, old, new)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("script", "first() + plain.VALUE", "first() - plain.VALUE"),
        ("script", "print(first()", "print('text', first()"),
        ("direct", "second() + 1", "second() + 2"),
        ("indirect", "json.dumps([", "json.dumps([1, "),
        ("plain", "VALUE = 2", "VALUE = 3"),
    ],
)
def test_what_counts(script: Path, module: str, old: str, new: str) -> None:
    assert changed(script, module, old, new)


def test_place_does_not_count(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_version(script)
    moved = Path(shutil.move(codeversion.PACKAGE, tmp_path / "elsewhere" / "qunlearn"))
    monkeypatch.setattr(codeversion, "PACKAGE", moved)
    assert code_version(Path(shutil.move(script, moved.parent / script.name))) == before


def test_packages_are_followed_through_their_init(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(codeversion.PACKAGE / "deep" / "__init__.py", "from qunlearn.deep.part import X\n")
    write_text(codeversion.PACKAGE / "deep" / "part.py", "X = 1\n")
    write_text(script, "from qunlearn.deep import X\n")
    assert changed(script, "deep/part", "X = 1", "X = 2")


def copy_of_package(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")  # which other test processes write to
    return Path(shutil.copytree(ROOT / "src/qunlearn", folder / "qunlearn", ignore=ignored))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_every_script_has_a_version_that_covers_what_it_imports(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a copy of the real package: a change deep below a script is seen."""
    codeversion._parsed.cache_clear()
    before = code_version(path)
    package = copy_of_package(tmp_path)
    with (package / "errors.py").open("a", encoding="utf-8") as stream:
        stream.write("\nX = 1\n")
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    assert code_version(path) != before  # all meet the shell through qunlearn.cli
    codeversion._parsed.cache_clear()


def test_training_code_decides_training_and_not_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {name: ROOT / f"workflow/scripts/{name}.py" for name in ("unlearn", "finetune")}
    others = {name: ROOT / f"workflow/scripts/{name}.py" for name in ("evaluate", "quantize")}
    codeversion._parsed.cache_clear()
    before = {name: code_version(path) for name, path in (scripts | others).items()}
    package = copy_of_package(tmp_path)
    with (package / "training" / "losses.py").open("a", encoding="utf-8") as stream:
        stream.write("\nX = 1\n")
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    after = {name: code_version(path) for name, path in (scripts | others).items()}
    codeversion._parsed.cache_clear()
    assert {name for name in before if after[name] != before[name]} == set(scripts)
