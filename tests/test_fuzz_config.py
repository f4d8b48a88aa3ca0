"""Broken configurations at random: each is refused in one line, and nothing is written."""

import functools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_configs
from conftest import Snakemake
from hypothesis.strategies import SearchStrategy
from small_configs import SCHEMA, Broken
from small_contradictions import contradictions
from small_corpora import run_script
from small_fuzz import admit, complaint, every, nothing_new

from qunlearn.experiment import config
from qunlearn.run.errors import InputError

EVERY = {
    "wrong values": (small_configs.wrong_values(), 160),
    "unknown keys": (small_configs.unknown_keys(), 60),
    "odd keys": (small_configs.odd_keys(), 25),
    "patterns of nothing": (small_configs.patterns_of_nothing(), 30),
    "contradictions": (contradictions(), 120),
    "odd files": (small_configs.odd_files(), 60),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in; the schema is read once, which takes most of the time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "load_schema", functools.cache(config.load_schema))
    return tmp_path


@pytest.mark.parametrize("name", EVERY)
def test_a_broken_configuration_is_refused_in_one_line(name: str, folder: Path) -> None:
    strategy, number = EVERY[name]
    file = folder / "broken.yaml"
    file.touch()

    def refused(broken: Broken) -> None:
        file.write_bytes(broken.content)
        with nothing_new(folder):
            complaint(lambda: admit([file]), *broken.words)

    every(number, strategy, refused)


def test_a_valid_configuration_is_resolved_once_and_for_all(folder: Path) -> None:
    """Or refused for a contradiction; never half of it."""
    taken = 0

    def steady(values: small_configs.Json) -> None:
        nonlocal taken
        try:
            full = config.resolve(values, SCHEMA)
        except InputError as error:
            assert str(error).startswith("config key")
            return
        taken += 1
        assert config.resolve(full, SCHEMA) == full

    every(100, small_configs.valid_values(), steady)
    assert taken >= 30


FILES = {
    "a folder": lambda path: path.mkdir(),
    "a pipe": lambda path: os.mkfifo(path),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a loop of links": lambda path: path.symlink_to(path.name),
    "an unreadable file": lambda path: path.symlink_to("/proc/self/mem"),
    "an endless file": lambda path: path.symlink_to("/dev/zero"),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("what", FILES)
def test_what_is_no_configuration_file(what: str, folder: Path) -> None:
    path = folder / "it.yaml"
    FILES[what](path)
    with nothing_new(folder):
        complaint(lambda: admit([path]), "it.yaml")


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000, "a\0b"])
def test_names_that_no_file_can_have(name: str, folder: Path) -> None:
    complaint(lambda: admit([Path(name)]))


def examples(strategy: SearchStrategy[Broken], number: int) -> list[Broken]:
    found: list[Broken] = []
    every(10 * number, strategy, found.append)
    return [broken for broken in found if broken.ours][:: max(1, len(found) // number)][:number]


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_workflow_and_scripts_say_the_same(
    name: str, folder: Path, snakemake: Snakemake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for broken in examples(EVERY[name][0], 3):
        file = folder / "broken.yaml"
        file.write_bytes(broken.content)
        expected = complaint(lambda: admit([Path("broken.yaml")]))
        before = sorted(folder.iterdir())
        for done in (
            snakemake(folder, "data", "--configfile", "broken.yaml"),
            run_script("preflight.py", "--configfile", "broken.yaml", code=2, folder=folder),
        ):
            assert done.returncode != 0
            assert "Traceback" not in done.stderr + done.stdout
            told = [line for line in done.stderr.splitlines() if "error: " in line]
            assert [line.partition("error: ")[2] for line in told] == [expected], broken
        shutil.rmtree(folder / ".snakemake", ignore_errors=True)
        assert sorted(folder.iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("seeds=abc", "seeds"),
        ("seeds=[-1]", "seeds.0"),
        ("controls=maybe", "controls"),
        ("experiment=$(touch marker)", "experiment"),
        ("experiment=nan", "experiment"),
        ("corpora=news", "corpora"),
        ("unlearn={settings: {lr: nan}}", "unlearn.settings.lr"),
        ("muse_dir=", None),
        ("evaluate={batch_size: 1.5}", "evaluate.batch_size"),
    ],
)
def test_words_of_the_command_line(
    word: str, key: str | None, tmp_path: Path, snakemake: Snakemake
) -> None:
    source = ["corpus={source: local}"] if key is None else []
    done = snakemake(tmp_path, "data", "--config", word, *source)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(told) == 1 and f"config key '{key or 'muse_dir'}'" in told[0], done.stderr
    assert not (tmp_path / "results").exists() and not (tmp_path / "marker").exists()
