"""Broken configurations at random: each is refused in one line, and nothing is written."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Snakemake
from hypothesis import strategies as st
from small_configs import tiny
from small_corpora import run_script
from small_fuzz import admit, complaint, every, nothing_new
from test_config import leaves

from qunlearn.experiment import config
from qunlearn.run.errors import InputError

KEYS = [place.split(".") for place in leaves(config.resolve({}))]
SECTIONS = sorted({tuple(place[:depth]) for place in KEYS for depth in range(len(place))})
FREE = [["revisions"], ["corpus", "hub"], ["unlearn", "overrides"], ["sweep"]]
NEVER = [
    *(float("nan"), float("inf"), -1, -(10**12), 10**400, "a\nb", "\x1b", [[]], [None], [-1]),
    *(datetime.date(2026, 1, 1), b"bytes", {"a", "b"}, {1: 2}, {"a": {"b": []}}, [{"a": [1]}]),
]
"""What no key can have."""
SOMETIMES = [
    *(None, True, 0, 1, 2, 0.5, 1.0, 2.5, 10**12, 1e308, "", "text", "1e-5", "auto", "muse"),
    *("..", "-x", "a b", "é", "x" * 300, "$(id)", "{a}", [], {}, ["text"], [1, 1], [2, 0.5]),
    *(["bf16"], ["news"], ["ga"]),
    *({"news": "a/b"}, {"*/*/lora": {"lr": 1}}, {"*/*/lora": {"lr": [1]}}),
]  # fmt: skip
"""What some keys can have."""


def at(place: list[str] | tuple[str, ...], value: Any) -> Any:
    """A configuration that has `value` at `place` and says nothing else."""
    for key in reversed(place):
        value = {key: value}
    return value


def test_what_no_key_can_have_is_refused_at_every_key() -> None:
    for place in KEYS:
        for value in NEVER:
            complaint(lambda: config.resolve(at(place, value)), f"'{'.'.join(place)}")  # noqa: B023


def test_what_some_keys_can_have_is_refused_or_read_once_and_for_all() -> None:
    taken = 0

    def steady(part: tuple[list[str], Any]) -> None:
        nonlocal taken
        values = at(*part)
        try:
            full = config.resolve(values)
        except InputError as error:
            complaint(lambda: config.resolve(values), "config key")
            assert "\n" not in str(error)
            return
        taken += 1
        assert config.resolve(full) == full

    every(400, st.tuples(st.sampled_from(KEYS), st.sampled_from(SOMETIMES)), steady)
    assert taken >= 20


def test_an_unknown_key_is_refused_in_every_section() -> None:
    for section in SECTIONS:
        complaint(lambda: config.resolve(at((*section, "sedd"), None)), "sedd' is unknown")  # noqa: B023
    for key in ("é", "\x1b[2J", "x" * 3000, "", 1, 2.5, None, True, datetime.date(2026, 1, 1)):
        complaint(lambda: config.resolve({key: 1}), "config key")  # noqa: B023
        for place in FREE:
            complaint(lambda: config.resolve(at((*place, key), 5)), "config key")  # noqa: B023


CONTRADICTIONS = [
    ({"precisions": ["bf16", "rtn4g96"]}, "rtn4g96"),
    ({"controls": True, "precisions": ["bf16", "nf4"]}, "'controls'"),
    ({"seed_scope": "all", "models": {"target": "x"}}, "'seed_scope'"),
    ({"models": {"shape": "x", "target": "x"}}, "'models.target'"),
    ({"models": {"architecture": {"context": 16}}}, "tokens"),
    ({"models": {"architecture": {"layers": 10**7}}}, "need"),
    ({"corpus": {"source": "local"}, "muse_dir": "x"}, "'muse_dir'"),
    ({"corpus": {"source": "hub", "hub": {"news": "a/b"}}}, "'revisions'"),
    ({"corpora": ["poems"]}, "poems"),
    ({"corpus": {"mini": {"forget": 10**7}}}, "'corpus.mini'"),
    ({"evaluate": {"verbmem_tokens": 300}}, "'evaluate.verbmem_tokens'"),
    ({"quantization": {"calibration": {"length": 300}}}, "calibration.length"),
    ({"resources": {"evaluate": {"gpu": 99}}}, "'resources.evaluate.gpu'"),
    ({"python": "no-such-python"}, "'python'"),
    ({"unlearn": {"settings": {"lrr": 1}}}, "did you mean 'lr'?"),
]


def broken(folder: Path, changes: dict[str, Any]) -> Path:
    file = folder / "broken.yaml"
    file.write_text(yaml.safe_dump(tiny(changes)), encoding="utf-8")
    return file


@pytest.mark.parametrize(("changes", "words"), CONTRADICTIONS)
def test_what_contradicts_itself_or_the_machine_is_refused_before_any_job(
    changes: dict[str, Any], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = broken(tmp_path, changes)
    with nothing_new(tmp_path):
        complaint(lambda: admit([file]), words)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [changes for changes, _ in CONTRADICTIONS[::3]])
def test_workflow_and_scripts_say_the_same(
    changes: dict[str, Any], tmp_path: Path, snakemake: Snakemake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = broken(tmp_path, changes)
    expected = complaint(lambda: admit([Path(file.name)]))
    for done in (
        snakemake(tmp_path, "data", "--configfile", file.name),
        run_script("preflight.py", "--configfile", file.name, code=2, folder=tmp_path),
    ):
        assert done.returncode != 0
        assert "Traceback" not in done.stderr + done.stdout
        lines = [line for line in done.stderr.splitlines() if "error: " in line]
        assert [line.partition("error: ")[2] for line in lines] == [expected]
    shutil.rmtree(tmp_path / ".snakemake", ignore_errors=True)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("seeds=[-1]", "seeds.0"),
        ("controls=maybe", "controls"),
        ("experiment=$(touch marker)", "experiment"),
        ("corpora=news", "corpora"),
        ("unlearn={settings: {lr: nan}}", "unlearn.settings.lr"),
    ],
)
def test_words_of_the_command_line(
    word: str, key: str, tmp_path: Path, snakemake: Snakemake
) -> None:
    done = snakemake(tmp_path, "data", "--config", word)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and f"config key '{key}'" in lines[0], done.stderr
    assert not (tmp_path / "results").exists() and not (tmp_path / "marker").exists()
