"""Damage that a job must not read: by manifest, by a weight file's header, in every script."""

import json
import os
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_corpora import SMALL

from qunlearn.corpora import layout, local, mini
from qunlearn.models.checkpoints import check_checkpoint
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, sha256, write_json
from qunlearn.run.integrity import THREADS, check_safetensors, verify
from qunlearn.run.manifest import MANIFEST, Stopwatch, digest, list_again, write_manifest
from qunlearn.survival.table import read_survival

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"
FILES = {"config.json": b"{}", "model.safetensors": bytes(1000), "raw/forget.json": b'["a text"]'}


def made(folder: Path) -> Path:
    """A folder as a step of the workflow leaves it."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_manifest(folder, step="a step", settings={}, inputs={}, stopwatch=Stopwatch())
    return folder


def flip(file: Path) -> None:
    """Change one byte; size and times stay."""
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "missing; put it back"),
    (cut, r"\d+ bytes instead of \d+; put it back"),
    (flip, "other content than when it was written"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_damage_is_named(
    tmp_path: Path, name: str, damage: Callable[[Path], object], told: str
) -> None:
    folder = made(tmp_path / "model")
    verify(folder)
    damage(folder / name)
    with pytest.raises(InputError) as error:
        verify(folder)
    assert re.match(f"{re.escape(str(folder / name))}: {told}", str(error.value))
    assert f"delete {folder} and give the command again" in str(error.value)


def test_sizes_alone_when_contents_are_not_asked_for(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    verify(folder, content=False)
    cut(folder / "config.json")
    with pytest.raises(InputError, match=r"config\.json: 1 bytes instead of 2"):
        verify(folder, content=False)


def test_one_file_of_a_folder(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    verify(folder / "model.safetensors")
    verify(folder / MANIFEST)
    with pytest.raises(InputError, match=r"config\.json: other content"):
        verify(folder / "config.json")


def test_what_may_be_there_besides(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    (folder / ".snakemake_timestamp").touch()
    (folder / "README.md").write_text("a card")
    made(folder / "seed0")
    verify(folder)
    for name in ("adapter_config.json", "scal/forget_1.json", "raw/README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
        with pytest.raises(InputError, match=rf"{name}: not listed in .*manifest\.json.*remove it"):
            verify(folder)
        (folder / name).unlink()
    flip(folder / "seed0/config.json")
    verify(folder)
    with pytest.raises(InputError, match="seed0/config"):
        verify(folder / "seed0")


def test_the_users_own_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    (folder / MANIFEST).unlink()
    verify(folder)
    known = digest(folder)
    for foreign in ([], {"outputs": ["a"]}, {"outputs": {"config.json": {"size": 1}}}):
        write_json(folder / MANIFEST, foreign)
        verify(folder)
        assert digest(folder) == known
    (folder / MANIFEST).write_text('{"outputs": {"config.js')
    with pytest.raises(InputError, match=r"manifest\.json: not valid JSON"):
        verify(folder)
    verify(tmp_path / "nowhere")


def test_more_files_than_threads(tmp_path: Path) -> None:
    for index in range(5 * THREADS):
        (tmp_path / f"shard{index}").write_bytes(bytes(10_000))
    write_manifest(tmp_path, step="a step", settings={}, inputs={}, stopwatch=Stopwatch())
    verify(tmp_path)
    flip(tmp_path / f"shard{3 * THREADS}")
    with pytest.raises(InputError, match=f"shard{3 * THREADS}: other content"):
        verify(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "model")

    def fail(file: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("qunlearn.run.integrity.sha256", fail)
    with pytest.raises(InputError, match=r"config\.json: cannot be read \(Input/output error\)"):
        verify(folder)


def test_a_file_that_is_written_anew_is_listed_anew(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    (folder / "config.json").write_text("{ }")
    list_again(folder, "config.json")
    verify(folder)
    assert read_json(folder / MANIFEST)["outputs"]["config.json"] == {
        "sha256": sha256(folder / "config.json"),
        "bytes": 3,
    }


def weights(header: dict[str, Any] | bytes, data: int) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


TENSORS = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (weights(TENSORS, 11), r"\d+ bytes instead of \d+; copy it again"),
        (weights(TENSORS, 13), r"\d+ bytes instead of \d+; copy it again"),
        (weights(TENSORS, 0)[:40], "40 bytes, which end within its header; copy it again"),
        (b"PK\x03", "3 bytes, which end within its header"),
        (weights(b"not JSON", 12), "no safetensors file, or one whose header is damaged"),
        (weights(b"[1, 2]", 12), "no safetensors file, or one whose header is damaged"),
        (weights({"a": {"dtype": "F32"}}, 12), "no safetensors file, or one whose header"),
        (b"version https://git-lfs.github.com/spec/v1\n", "43 bytes, which end within"),
    ],
)
def test_a_weight_file_is_as_long_as_its_header_says(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(weights(TENSORS, 12))
    check_safetensors(file)
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"model\.safetensors: {told}"):
        check_safetensors(file)


def test_a_shard_that_is_cut_short_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    shards = {name: f"model-0000{number}-of-00002.safetensors" for number, name in enumerate("ab")}
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": shards})
    for shard in shards.values():
        (tmp_path / shard).write_bytes(weights(TENSORS, 12))
    check_checkpoint(tmp_path, tokenizer=False)
    cut(tmp_path / shards["b"])
    with pytest.raises(InputError, match=rf"{shards['b']}: \d+ bytes instead of \d+"):
        check_checkpoint(tmp_path, tokenizer=False)


def test_a_corpus_of_another_experiment_has_hashes(tmp_path: Path) -> None:
    layout.write(tmp_path, mini.generate("news", SMALL))
    local.verify(tmp_path)
    write_manifest(tmp_path, step="corpus", settings={}, inputs={}, stopwatch=Stopwatch())
    texts = read_json(tmp_path / "raw/forget.json")
    write_json(tmp_path / "raw/forget.json", [texts[0].upper(), *texts[1:]])
    with pytest.raises(InputError, match=r"forget\.json: .*delete .*manifest\.json if the change"):
        local.verify(tmp_path)


def test_a_survival_table_is_compared_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "nf4.csv").write_text("layer,module\n")
    write_manifest(tmp_path, step="survival", settings={}, inputs={}, stopwatch=Stopwatch())
    flip(tmp_path / "nf4.csv")
    with pytest.raises(InputError, match=r"nf4\.csv: other content"):
        read_survival(tmp_path / "nf4.csv")
