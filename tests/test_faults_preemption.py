"""A training that is asked to end: a checkpoint, one line, and the same weights when it goes on."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from small_runs import files_of, log_of, make_start, run
from test_sharding import in_processes
from tiny_models import UNLEARNING, at_update

from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.unlearning import Adapter
from qunlearn.training import unlearn_run
from qunlearn.training.preemption import held

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

Start = tuple[Path, Path]
# Lines of the log after updates 4 and 8, so that a checkpoint after 5 is between two of them.
SETTINGS = replace(UNLEARNING, lr=1e-3, epochs=2, log_every=4, checkpoint_every=4, dropout=0.05)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return make_start(tmp_path_factory.mktemp("start"))


def check_the_same(found: Path, wanted: Path) -> None:
    """The same weights and log, but for the line in whose updates the run was stopped: its means
    are over those that came after."""
    assert files_of(found) == files_of(wanted)
    lines, others = log_of(found), log_of(wanted)
    assert [line["step"] for line in lines] == [line["step"] for line in others]
    assert [one for one in lines if one["step"] != 8] == [one for one in others if one["step"] != 8]


@pytest.mark.parametrize(
    ("objective", "adapter", "number"),
    [
        ("npo_klr", "lora", signal.SIGTERM),
        ("ga_gdr", "full_bf16", signal.SIGTERM),
        ("npo_gdr", "full", signal.SIGINT),
    ],
)
def test_a_training_that_is_asked_to_end(
    objective: str,
    adapter: Adapter,
    number: signal.Signals,
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    how: dict[str, Any] = {"settings": SETTINGS, "adapter": adapter, "objective": objective}
    undisturbed = run(start, tmp_path / "undisturbed", **how)
    output = tmp_path / "asked"
    with monkeypatch.context() as patch:
        at_update(patch, 4, lambda trainer: os.kill(os.getpid(), number))
        with pytest.raises(SystemExit) as ended:
            run(start, output, **how)
    assert ended.value.code == 128 + number
    line = f"error: stopped by {number.name}; the same command resumes after update 5\n"
    assert line in capfd.readouterr().err
    assert not output.exists()
    check_the_same(run(start, output, **how), undisturbed)


def test_a_wish_in_the_last_update_changes_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(start, tmp_path / "undisturbed", SETTINGS)
    updates = json.loads((undisturbed / MANIFEST).read_text())["updates"]
    with monkeypatch.context() as patch:
        at_update(patch, updates - 1, lambda trainer: os.kill(os.getpid(), signal.SIGTERM))
        asked = run(start, tmp_path / "asked", SETTINGS)
    assert files_of(asked) == files_of(undisturbed)


def test_two_processes_agree_to_end(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Slurm asks all of them; a user may ask one."""
    settings = replace(SETTINGS, sharding="fsdp", processes=2, autocast=False)
    undisturbed = run(start, tmp_path / "undisturbed", settings)
    with monkeypatch.context() as patch:
        in_processes(patch, "run_asked_to_end_at", update=4)
        with pytest.raises(SystemExit) as ended:
            run(start, tmp_path / "asked", settings)
    assert ended.value.code == 143
    assert "the same command resumes after update 5" in capfd.readouterr().err
    check_the_same(run(start, tmp_path / "asked", settings), undisturbed)


def test_who_had_to_wait_takes_what_was_made_meanwhile(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster a job may still run when its driver is gone and the next one sends it again."""
    made = run(start, tmp_path / "made", SETTINGS)
    manifest = (made / MANIFEST).read_bytes()
    made.rename(tmp_path / "elsewhere")

    @contextmanager
    def waited(checkpoints: Path) -> Iterator[None]:
        with held(checkpoints):
            (tmp_path / "elsewhere").rename(made)
            yield

    monkeypatch.setattr(unlearn_run, "held", waited)
    run(start, made, SETTINGS)
    assert (made / MANIFEST).read_bytes() == manifest
    assert not list((tmp_path / "made checkpoints").iterdir())


def test_one_process_at_a_time_has_the_checkpoints(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    code = "import sys; from pathlib import Path; from qunlearn.training.preemption import held\n"
    code += "with held(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(mine)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src")},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        threading.Timer(0.5, other.kill).start()  # a lock ends with its process
        with held(mine):
            assert other.wait() != 0
    assert not mine.exists()
