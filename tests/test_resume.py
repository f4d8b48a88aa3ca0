"""A training that is killed goes on, and ends as it would have undisturbed; its snapshots."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from small_runs import ROWS, Start, facts_of, files_of, kill, log_of, run
from tiny_models import TRAINING, UNLEARNING, at_update

from qunlearn.models.checkpoints import is_diverged, load_dense
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, hash_files
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.unlearning import Adapter, snapshot_name
from qunlearn.training import finetune as finetuning
from qunlearn.training import trainer, unlearn_run
from qunlearn.training.rows import count_updates
from qunlearn.training.trainer import locked

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

# Lines of the log after updates 4 and 8, so that a checkpoint after 5 is between two of them.
SETTINGS = replace(UNLEARNING, lr=1e-3, epochs=2, log_every=4, checkpoint_every=4, dropout=0.05)


def check_the_snapshot(found: Path, wanted: Path) -> None:
    """But for looks at the forget NLL at the ends of other snapshots."""
    assert files_of(found) == files_of(wanted)
    assert facts_of(found) == facts_of(wanted)
    assert all(line in log_of(found) for line in log_of(wanted))


def ordinary(start: Start, output: Path) -> Path:
    """Seven updates, the last of which is not logged."""
    target, corpus = start
    finetuning.train_and_keep(
        corpus,
        ["forget"],
        output,
        output.parent / f"{output.name} checkpoints",
        replace(TRAINING, epochs=7 * TRAINING.batch_size / ROWS, max_tokens=256),
        ModelSettings(),
        base=target,
    )
    return output


Case = tuple[str, Adapter, int, tuple[float, ...]]
KILLED: list[Case] = [  # objective, variant, rows of a forward pass, snapshots
    ("npo_klr", "full", 0, ()),
    ("npo_klr", "lora", 2, (0.8, 2.0)),  # after updates 4 and 11
    ("npo_gdr", "full_bf16", 0, ()),
    ("npo_gdr", "full_sr", 0, ()),
]


@pytest.mark.parametrize("case", KILLED)
def test_killed_ones_go_on(
    case: Case, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed on its way and while its output is put together, it ends as it does undisturbed, to
    the byte, and so do its snapshots."""
    objective, adapter, micro, shots = case
    settings = replace(SETTINGS, micro_batch_size=micro)

    def train(output: Path) -> Path:
        return run(start, output, settings, adapter, shots, objective)

    undisturbed, output = train(tmp_path / "undisturbed"), tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_update(patch, 6, kill)
        train(output)
    (mine,) = (tmp_path / "killed checkpoints").iterdir()
    assert [path.name for path in mine.glob("checkpoint-*")] == ["checkpoint-4"]
    (mine / "checkpoint-8").mkdir()  # half of the next one
    (mine / "checkpoint-8/trainer_state.json").write_bytes(b"{half")
    seen: list[int] = []
    torch.manual_seed(99)  # another process would be in another state
    at_update(monkeypatch, 4, lambda trained: seen.append(trained.state.global_step))
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unlearn_run, "write_jsonl", kill)
        train(output)
    assert not output.exists()
    train(output)
    assert seen == [4]
    assert hash_files(output).keys() == hash_files(undisturbed).keys()
    for name in map(snapshot_name, shots) if shots else ("",):
        check_the_snapshot(output / name, undisturbed / name)
        assert log_of(output / name) == log_of(undisturbed / name)
    assert not list((tmp_path / "killed checkpoints").iterdir())


def test_other_code_starts_anew(
    start: Start,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(trainer, "code_version", lambda *modules: "as it was")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        at_update(killed, 6, kill)
        ordinary(start, tmp_path / "model")
    monkeypatch.setattr(trainer, "code_version", lambda *modules: "changed since")
    ordinary(start, tmp_path / "model")
    assert "resuming from" not in capsys.readouterr().out


def test_one_process_at_a_time_has_the_checkpoints(tmp_path: Path) -> None:
    """On a cluster a job may still run when its driver is gone and the next one sends it again."""
    code = "import sys; from pathlib import Path; from qunlearn.training.trainer import locked\n"
    code += "with locked(*map(Path, sys.argv[1:])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src")},
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        threading.Timer(0.5, other.kill).start()  # a lock ends with its process
        with locked(tmp_path, Path(__file__)):
            assert other.wait() != 0
    assert not list(tmp_path.iterdir())


# --- Snapshots: what a shorter run ends with, from a longer one --------------------------------

SHORT = replace(UNLEARNING, lr=2e-3, epochs=2, dropout=0.1)


@pytest.mark.parametrize("adapter", ["full", "full_bf16", "lora"])
def test_a_snapshot_is_a_shorter_runs_end(start: Start, adapter: Adapter, tmp_path: Path) -> None:
    """To the byte; 7 and 11 updates, of which the log has every second; the last ends the run."""
    settings = replace(SHORT, epochs=100)
    whole = run(start, tmp_path / "whole", settings, adapter, snapshots=(2, 1.2))
    assert sorted(path.name for path in whole.iterdir() if path.is_dir()) == ["epoch1.2", "epoch2"]
    for epochs in (1.2, 2):
        snapshot = whole / snapshot_name(epochs)
        shorter = run(start, tmp_path / f"{epochs:g}", replace(SHORT, epochs=epochs), adapter)
        check_the_snapshot(snapshot, shorter)
        assert facts_of(snapshot)["updates"] == count_updates(epochs, ROWS, 4)
        load_dense(snapshot, start[0] if adapter == "lora" else None)
    assert {line["step"] for line in log_of(whole)} == {2, 4, 6, 7, 8, 10, 11}
    assert facts_of(whole)["settings"]["epochs"] == 2
    assert not list(tmp_path.glob("* checkpoints/*"))


def test_a_run_that_stops_has_its_end_in_later_snapshots(start: Start, tmp_path: Path) -> None:
    """A look for a snapshot stops nothing: the stop rule is for every fourth update."""
    settings = replace(SHORT, lr=1e-2, alpha=0.0, epochs=20, stop_nll=0.1, log_every=4)
    ordinary = run(start, tmp_path / "ordinary", settings, "lora")
    whole = run(start, tmp_path / "whole", settings, "lora", snapshots=(0.2, 15, 20))
    assert facts_of(ordinary)["updates"] == facts_of(whole)["updates"] == 4
    for name, updates in (("epoch0.2", 1), ("epoch15", 4), ("epoch20", 4)):
        assert facts_of(whole / name)["updates"] == updates
        assert (files_of(whole / name) == files_of(ordinary)) == (updates > 1)
    assert all(line in log_of(whole / "epoch15") for line in log_of(ordinary))


def test_a_run_that_diverges_keeps_the_snapshots_before(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_update(monkeypatch, 8, lambda trainer: trainer.model.lm_head.weight.data.fill_(torch.inf))
    whole = run(start, tmp_path / "whole", SHORT, snapshots=(1.2, 2))
    monkeypatch.undo()
    shorter = run(start, tmp_path / "shorter", replace(SHORT, epochs=1.2))
    check_the_snapshot(whole / "epoch1.2", shorter)
    assert is_diverged(whole) and is_diverged(whole / "epoch2")
    assert files_of(whole / "epoch2") == {}
    assert [line["step"] for line in log_of(whole / "epoch2") if "loss" in line] == [2, 4, 6, 8]
    assert "at update 9" in read_json(whole / "epoch2" / MANIFEST)["reason"]
    settings = replace(SHORT, lr=1e39)  # beyond fp32: not even the first snapshot is finite
    whole = run(start, tmp_path / "at once", settings, snapshots=(0.2, 2))
    assert is_diverged(whole / "epoch0.2") and files_of(whole / "epoch0.2") == {}
