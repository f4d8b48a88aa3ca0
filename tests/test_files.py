"""Outputs and JSON files: what is whole, and what is told of a broken one."""

import re
from pathlib import Path
from typing import Any

import pytest

from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, read_json, read_jsonl, write_json, write_jsonl


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
