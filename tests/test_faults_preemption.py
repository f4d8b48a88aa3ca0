"""A training that is asked to end: a checkpoint, one line, and the same bytes when it goes on."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_runs import files_of, make_start, run
from test_sharding import in_processes
from tiny_models import UNLEARNING, at_update

from qunlearn.provenance import MANIFEST
from qunlearn.settings.unlearning import Adapter, Objective
from qunlearn.signals import Stopped
from qunlearn.training import unlearn_run
from qunlearn.training.trainer import LOG, RepeatableTrainer

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

Start = tuple[Path, Path]
# Lines of the log after updates 4 and 8, so that a checkpoint after 5 is between two of them.
SETTINGS = replace(UNLEARNING, lr=1e-3, epochs=2, log_every=4, checkpoint_every=4, dropout=0.05)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return make_start(tmp_path_factory.mktemp("start"))


def ask(trainer: RepeatableTrainer) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def check_the_same(found: Path, wanted: Path) -> None:
    assert files_of(found) == files_of(wanted)
    assert (found / LOG).read_bytes() == (wanted / LOG).read_bytes()


@pytest.mark.parametrize(
    ("objective", "adapter"), [("npo_klr", "lora"), ("ga_gdr", "full_bf16"), ("npo_gdr", "full")]
)
def test_a_training_that_is_asked_to_end(
    objective: Objective,
    adapter: Adapter,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    how: dict[str, Any] = {"settings": SETTINGS, "adapter": adapter, "objective": objective}
    undisturbed = run(start, tmp_path / "undisturbed", **how)
    output = tmp_path / "asked"
    with monkeypatch.context() as patch:
        at_update(patch, 4, ask)
        with pytest.raises(Stopped) as caught:
            run(start, output, **how)
    assert caught.value.code == 143
    assert caught.value.told == (
        "stopped by SIGTERM at update 5; the same command resumes from checkpoint-5"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "asked checkpoints",
        "undisturbed",
        "undisturbed checkpoints",
    ]
    check_the_same(run(start, output, **how), undisturbed)


def test_a_wish_in_the_last_update(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(start, tmp_path / "undisturbed", SETTINGS)
    updates = json.loads((undisturbed / MANIFEST).read_text())["updates"]
    with monkeypatch.context() as patch:
        at_update(patch, updates - 1, ask)
        with pytest.raises(Stopped, match=str(143)):
            run(start, tmp_path / "asked", SETTINGS)
    check_the_same(run(start, tmp_path / "asked", SETTINGS), undisturbed)


def test_two_processes_agree_to_end(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm asks all of them; a user may ask one."""
    settings = replace(SETTINGS, sharding="fsdp", processes=2, autocast=False)
    undisturbed = run(start, tmp_path / "undisturbed", settings)
    with monkeypatch.context() as patch:
        in_processes(patch, "run_asked_to_end_at", update=4)
        with pytest.raises(Stopped) as caught:
            run(start, tmp_path / "asked", settings)
    assert "at update 5; the same command resumes from checkpoint-5" in caught.value.told
    check_the_same(run(start, tmp_path / "asked", settings), undisturbed)


@pytest.mark.parametrize("changed", [False, True])
def test_who_had_to_wait_takes_what_was_made_meanwhile(
    changed: bool, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster a job may still run when its Snakemake is gone and the next one asks again."""
    made = run(start, tmp_path / "made", SETTINGS)
    before = (made / MANIFEST).stat().st_mtime_ns
    again = replace(SETTINGS, lr=2e-3) if changed else SETTINGS

    @contextmanager
    def waited(path: Path) -> Iterator[bool]:
        yield True

    with monkeypatch.context() as patch:
        patch.setattr(unlearn_run, "exclusive", waited)
        run(start, made, again)
    assert ((made / MANIFEST).stat().st_mtime_ns != before) == changed
