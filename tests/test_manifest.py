"""Manifests: what made an output, by content; and damage that a job must not read."""

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Snakemake
from small_fuzz import complaint
from small_workflow import TINY

from qunlearn.run import cli
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json, write_text
from qunlearn.run.manifest import (
    MANIFEST,
    check_inputs,
    digest,
    fingerprint,
    verify,
    write_manifest,
)
from qunlearn.settings.training import TrainSettings
from qunlearn.survival.table import read_survival

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
FILES = {"config.json": b"{}", "model.safetensors": bytes(1000), "raw/forget.json": b'["a text"]'}


def made(folder: Path) -> Path:
    """A folder as a step of the workflow leaves it."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_manifest(folder, step="a step", settings={}, inputs={})
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


def stranger(file: Path) -> None:
    (file.parent / "adapter_config.json").write_text("{}")


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "{name}: missing; put it back, or delete {folder} and give the command"),
    (cut, r"{name}: \d+ bytes instead of \d+; put it back"),
    (flip, "{name}: other content than when it was written; .*delete {folder} and give"),
    (stranger, r"adapter_config\.json: not listed in .*manifest\.json.*remove it"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("damage", "words"), DAMAGES)
def test_damages(tmp_path: Path, name: str, damage: Callable[[Path], object], words: str) -> None:
    folder = made(tmp_path / "model")
    verify(folder)
    damage(folder / name)
    expected = words.replace("{name}", re.escape(str(folder / name)))
    with pytest.raises(InputError, match=expected.replace("{folder}", re.escape(str(folder)))):
        verify(folder)


def test_a_file_of_a_folder_or_sizes_alone(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    verify(folder / "model.safetensors")
    verify(folder / MANIFEST)
    with pytest.raises(InputError, match=r"config\.json: other content"):
        verify(folder / "config.json")
    verify(folder, content=False)
    cut(folder / "config.json")
    with pytest.raises(InputError, match=r"config\.json: 1 bytes instead of 2"):
        verify(folder, content=False)


def test_what_may_be_there_besides(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    (folder / ".snakemake_timestamp").touch()
    (folder / "README.md").write_text("a card")
    made(folder / "seed0")
    verify(folder)
    for name in ("adapter_config.json", "scal/forget_1.json", "raw/README.md"):
        write_text(folder / name, "{}")
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
        seed=3,
        **facts,
    )
    return folder


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


def test_fingerprint_tells_runs_apart_by_content(tmp_path: Path) -> None:
    model = output(tmp_path / "model")
    twin = output(tmp_path / "twin")
    other = output(tmp_path / "other", text="abd")

    def of(**changes: Any) -> str:
        parts: dict[str, Any] = {"seed": 0, "settings": TrainSettings(), "inputs": {"base": model}}
        return fingerprint(**(parts | changes))

    assert fingerprint(b="x", a={"k": [1]}) == "ebcd6e4abf9616e4"  # in every process
    assert of(inputs={"base": twin}) == of()
    changed = [
        of(seed=1),
        of(settings=TrainSettings(lr=1.0)),
        of(inputs={"base": other}),
        of(inputs={"target": model}),
        of(objective="ga"),
    ]
    assert len({of(), *changed}) == 6


# --- Whatever reads an output compares it ----------------------------------------------------


def test_every_script_compares_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (ROOT / "workflow/scripts").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "@run_script\ndef main(" in text, file
        assert "evaluations: Path" not in text or "check_evaluations(" in text, file
    whole, damaged = made(tmp_path / "whole"), made(tmp_path / "damaged")
    flip(damaged / "raw/forget.json")

    def main(corpus: tuple[Path, ...], output: Path, base: Path | None = None) -> None:
        raise AssertionError("it went to work")

    arguments = ["--corpus", str(whole), str(damaged), "--output", str(damaged)]
    monkeypatch.setattr(sys, "argv", ["script.py", *arguments])
    monkeypatch.setattr(cli, "listen", lambda handler: None)  # in the tests' own process
    monkeypatch.delenv("SNAKEMAKE_PID", raising=False)
    main.__module__ = "__main__"
    with pytest.raises(SystemExit) as ended:
        cli.run_script(main)
    told = capsys.readouterr().err
    assert told.startswith(f"error: {damaged}/raw/forget.json: other content"), told
    assert told.count("\n") == 1
    assert ended.value.code == 2
    check_inputs({"output": damaged, "source": whole, "base": None, "seed": 3})


def test_a_survival_table_is_compared_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "nf4.csv").write_text("layer,module\n")
    write_manifest(tmp_path, step="survival", settings={}, inputs={})
    flip(tmp_path / "nf4.csv")
    complaint(lambda: read_survival(tmp_path / "nf4.csv"), "nf4.csv: other content")


def test_a_foreign_evaluation_is_not_read(
    tiny_run: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    """A user sees one line of the job, which does not make its output."""
    shutil.copytree(tiny_run, tmp_path, dirs_exist_ok=True, symlinks=True)
    own, other = (f"eval/news/npo_klr/{adapter}/seed0/nf4" for adapter in ("full", "lora"))
    results = tmp_path / "results/tiny"
    table = results / "tables/metrics.csv"
    known, goal = table.read_bytes(), ("--", "results/tiny/tables/metrics.csv")
    shutil.rmtree(results / own)
    shutil.copytree(results / other, results / own, copy_function=shutil.copyfile)
    done = snakemake(tmp_path, *TINY, "--show-failed-logs", "--nolock", *goal)
    assert done.returncode != 0 and "Traceback" not in done.stderr, done.stderr
    lines = {each.strip() for each in done.stderr.splitlines() if each.strip()[:7] == "error: "}
    said = f"error: results/tiny/{own}/manifest.json: its input 'model' was not what results/tiny/"
    assert len(lines) == 1 and lines.pop().startswith(said), done.stderr
    assert not table.exists()
    shutil.rmtree(results / own)  # made anew, it is what it was
    done = snakemake(tmp_path, *TINY, *goal)
    assert done.returncode == 0, done.stderr
    assert table.read_bytes() == known
