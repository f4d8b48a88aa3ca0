"""Outputs and JSON files: what is whole, and what is said of a broken one."""

import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_faults import small_disk
from small_fuzz import complaint

from qunlearn.run import files
from qunlearn.run.errors import InputError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- Folders ---------------------------------------------------------------------------------


def test_a_new_folder_appears_when_it_is_whole_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep/output"
    for name in ("old", "new"):
        with files.new_folder(path) as work:
            (work / name).touch()
            assert work.parent == path.parent  # one file system, so that renaming is atomic
            assert not (path / name).exists()
        assert names(path) == [name]
    assert names(path.parent) == ["output"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError("broken")])
def test_a_failure_leaves_what_was_there(error: Any, tmp_path: Path) -> None:
    files.write_text(tmp_path / "output/old", "")
    with (
        pytest.raises((KeyboardInterrupt, ValueError)),
        files.new_folder(tmp_path / "output") as work,
    ):
        (work / "half").touch()
        raise error
    assert names(tmp_path) == ["output"] and names(tmp_path / "output") == ["old"]


def test_a_planted_link_is_not_written_through(tmp_path: Path) -> None:
    """The work folder beside an output has a known name: what lies there is replaced."""
    files.write_text(tmp_path / "victim/kept", "")
    (tmp_path / ".made.partial").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError), files.new_folder(tmp_path / "made") as folder:
        (folder / "x").touch()
    assert names(tmp_path / "victim") == ["kept"]


# --- JSON ------------------------------------------------------------------------------------

VALUES: list[Any] = [{"a": [1, 2.5, None, True]}, "ünïcode – “quotes”", [], "line\nbreak", 0.1]
VALUES += [f"one{chr(code)}two" for code in (0x0B, 0x0C, 0x1C, 0x85, 0x2028, 0x2029)]  # line ends


def test_round_trips(tmp_path: Path) -> None:
    path = tmp_path / "new/values.json"
    files.write_json(path, VALUES)
    assert files.read_json(path) == VALUES
    assert path.read_text(encoding="utf-8").endswith("]\n")
    assert "ünïcode" in path.read_text(encoding="utf-8")
    for values in (VALUES, []):
        files.write_jsonl(path, values)
        assert path.read_bytes().count(b"\n") == len(values)
        assert files.read_jsonl(path) == values
    path.write_bytes(b'{"a": 1}\r\n2')  # without a final newline
    assert files.read_jsonl(path) == [{"a": 1}, 2]
    with pytest.raises(TypeError):
        files.write_json(path, {1, 2})
    assert names(path.parent) == ["values.json"] and files.read_jsonl(path) == [{"a": 1}, 2]


BROKEN: list[tuple[Callable[[Path], Any], bytes, str]] = [
    (files.read_json, b'{"a": 1,\n  b: 2}', "not valid JSON (Expecting .*line 2 column 3"),
    (files.read_json, b"[" * 10**5, "not valid JSON"),
    (files.read_json, b"1" * 5000, "not valid JSON"),
    (files.read_json, b'"gr\xf6\xdfe"', "not UTF-8 at byte 3"),
    (files.read_jsonl, b'"gr\xf6\xdfe"', "not UTF-8 at byte 3"),
    (files.read_jsonl, b"{}\n{\n", "line 2 is not valid JSON"),
    (files.read_jsonl, b"1\n\n2\n", "line 2 is not valid JSON"),
    (files.read_jsonl, b"\n\n", "line 1 is not valid JSON"),
]


@pytest.mark.parametrize(("read", "content", "words"), BROKEN)
def test_broken(read: Callable[[Path], Any], content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    line = complaint(lambda: read(path))
    assert re.match(f"{re.escape(str(path))}: {words.replace('(', '.')}", line)


# --- Disks -----------------------------------------------------------------------------------

FULL = "no space left on device; make room and give the same command again"


def test_every_library_that_writes_large_files(tmp_path: Path) -> None:
    """What they raise is theirs to change."""
    import torch
    from safetensors.torch import save_file

    large, disk = torch.zeros(2**20), tmp_path / "disk"
    with small_disk(disk, "size=1m"):
        writers = {
            "python": lambda folder: (folder / "a").write_bytes(large.numpy().tobytes()),
            "safetensors": lambda folder: save_file({"a": large}, folder / "a"),
            "torch": lambda folder: torch.save(large, folder / "a"),
        }
        for name, write in writers.items():
            with pytest.raises(InputError, match=FULL), files.new_folder(disk / "output") as work:
                write(work)
            assert names(disk) == [], name
        with pytest.raises(InputError, match=f"{disk}/file: {FULL}"):
            files.write_text(disk / "file", "a" * 2**21)
        assert names(disk) == []


def test_what_is_mapped_has_its_room_before(tmp_path: Path) -> None:
    """A write to a mapped file on a full disk ends the process (SIGBUS)."""
    from tiny_models import RETAIN, full_precision, tiny_llama

    from qunlearn.training.reference import cached_states

    with small_disk(tmp_path / "disk", "size=4k"), pytest.raises(OSError) as caught:
        cached_states(tiny_llama(), RETAIN * 8, 4, full_precision, tmp_path / "disk/reference")
    assert caught.value.errno == errno.ENOSPC
