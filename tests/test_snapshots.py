"""Snapshots: what a shorter run ends with, from a longer one, whatever becomes of that."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import ROWS, facts_of, files_of, log_of, make_start, run
from tiny_models import UNLEARNING, at_update

from qunlearn.models.checkpoints import is_diverged, load_dense
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, hash_files
from qunlearn.settings.unlearning import Adapter
from qunlearn.training import unlearn_run
from qunlearn.training.snapshots import check_epochs, count_updates, name_of
from qunlearn.training.trainer import RepeatableTrainer

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

SETTINGS = replace(UNLEARNING, lr=2e-3, epochs=2, dropout=0.1)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_start(tmp_path_factory.mktemp("start"))


def test_names_and_updates() -> None:
    assert [name_of(epochs) for epochs in (5.0, 2.5, 10)] == ["epoch5", "epoch2.5", "epoch10"]
    assert [count_updates(epochs, 18, 4) for epochs in (0.1, 1.2, 2)] == [1, 5, 9]
    assert check_epochs((10, 5.0, 5, 2.5), 10) == (2.5, 5.0, 10)
    assert check_epochs((), 10) == ()


@pytest.mark.parametrize("wrong", [0.0, -1.0, 10.5, float("nan")])
def test_snapshots_must_lie_in_the_run(wrong: float) -> None:
    with pytest.raises(InputError, match=f"snapshots {wrong:g} is not within .* epochs 10;"):
        check_epochs((5, wrong), 10)


@pytest.mark.parametrize("adapter", ["full", "full_bf16", "lora"])
def test_a_snapshot_is_what_a_shorter_run_ends_with(
    start: tuple[Path, Path], adapter: Adapter, tmp_path: Path
) -> None:
    """To the byte; 7 and 11 updates, of which the log has every second."""
    whole = run(start, tmp_path / "whole", SETTINGS, adapter, snapshots=(2, 1.2))
    manifest = read_json(whole / MANIFEST)
    assert sorted(path.name for path in whole.iterdir() if path.is_dir()) == ["epoch1.2", "epoch2"]
    assert manifest["snapshots"] == {"epoch1.2": "ok", "epoch2": "ok"}
    for epochs in (1.2, 2):
        settings = replace(SETTINGS, epochs=epochs)
        shorter = run(start, tmp_path / f"{epochs:g}", settings, adapter)
        snapshot = whole / name_of(epochs)
        assert files_of(snapshot) == files_of(shorter)
        assert len(files_of(snapshot)) >= 2
        assert log_of(snapshot) == log_of(shorter)
        assert facts_of(snapshot) == facts_of(shorter)
        assert facts_of(snapshot)["updates"] == count_updates(epochs, ROWS, 4)
        assert ("merge_error" in facts_of(snapshot)) == (adapter == "lora")
        load_dense(snapshot, start[0] if adapter == "lora" else None)
    assert {line["step"] for line in log_of(whole)} == {2, 4, 6, 7, 8, 10, 11}
    assert not list(tmp_path.glob("* checkpoints/*"))


def test_a_run_ends_with_its_last_snapshot(start: tuple[Path, Path], tmp_path: Path) -> None:
    whole = run(start, tmp_path / "whole", replace(SETTINGS, epochs=100), snapshots=(1,))
    assert facts_of(whole)["updates"] == count_updates(1, ROWS, 4)
    assert facts_of(whole)["settings"]["epochs"] == 1


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_a_killed_run_has_its_snapshots_still(
    start: tuple[Path, Path],
    adapter: Adapter,
    lost: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It goes on behind the snapshot, or where that was lost starts from the beginning."""
    settings = replace(SETTINGS, checkpoint_every=2)
    shots = (0.8, 2.0)  # after updates 4 and 11
    undisturbed = run(start, tmp_path / "undisturbed", settings, adapter, shots)
    output = tmp_path / "killed"

    def kill(trainer: RepeatableTrainer) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_update(patch, 7, kill)
        run(start, output, settings, adapter, shots)
    assert not output.exists()
    (mine,) = (tmp_path / "killed checkpoints").iterdir()
    assert [path.name for path in mine.glob("checkpoint-*")] == ["checkpoint-6"]
    if lost:
        shutil.rmtree(mine / "snapshots")
    torch.manual_seed(99)  # another process would be in another state
    run(start, output, settings, adapter, shots)
    assert hash_files(output).keys() == hash_files(undisturbed).keys()
    for name in ("epoch0.8", "epoch2"):
        assert files_of(output / name) == files_of(undisturbed / name)
        assert log_of(output / name) == log_of(undisturbed / name)
        assert facts_of(output / name) == facts_of(undisturbed / name)


def test_a_kill_while_the_output_is_put_together_costs_no_snapshot(
    start: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    undisturbed = run(start, tmp_path / "undisturbed", SETTINGS, snapshots=(1, 2))

    def kill(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unlearn_run, "write_jsonl", kill)
        run(start, tmp_path / "killed", SETTINGS, snapshots=(1, 2))
    killed = run(start, tmp_path / "killed", SETTINGS, snapshots=(1, 2))
    for name in ("epoch1", "epoch2"):
        assert files_of(killed / name) == files_of(undisturbed / name)
        assert "model.safetensors" in files_of(killed / name)


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_a_run_that_stops_has_its_last_state_in_what_was_to_come(
    start: tuple[Path, Path], adapter: Adapter, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, lr=1e-2, alpha=0.0, epochs=20, stop_nll=6.2)
    ordinary = run(start, tmp_path / "ordinary", settings, adapter)
    stopped_at = facts_of(ordinary)["updates"]
    assert 1 < stopped_at < 80
    whole = run(start, tmp_path / "whole", settings, adapter, snapshots=(0.2, 15, 20))
    for name, stopped in (("epoch0.2", False), ("epoch15", True), ("epoch20", True)):
        manifest = read_json(whole / name / MANIFEST)
        assert (manifest["status"], manifest["stopped"]) == ("ok", stopped)
        assert manifest["updates"] == (stopped_at if stopped else 1)
        assert (files_of(whole / name) == files_of(ordinary)) == stopped
    assert log_of(whole / "epoch15") == log_of(ordinary)


def test_a_look_for_a_snapshot_stops_nothing(start: tuple[Path, Path], tmp_path: Path) -> None:
    """The forget NLL is above the threshold from the first update on, but looked at in every fourth
    only; the snapshot after the first must not end the run sooner than without it."""
    settings = replace(SETTINGS, stop_nll=0.1, log_every=4)
    whole = run(start, tmp_path / "whole", settings, snapshots=(0.2, 2))
    assert facts_of(whole)["updates"] == 4
    assert facts_of(whole / "epoch0.2")["updates"] == 1


def test_a_run_that_diverges_keeps_the_snapshots_before(
    start: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_update(monkeypatch, 8, lambda trainer: trainer.model.lm_head.weight.data.fill_(torch.inf))
    whole = run(start, tmp_path / "whole", SETTINGS, snapshots=(1.2, 2))
    monkeypatch.undo()
    shorter = run(start, tmp_path / "shorter", replace(SETTINGS, epochs=1.2))
    assert files_of(whole / "epoch1.2") == files_of(shorter)
    assert is_diverged(whole / "epoch2")
    assert is_diverged(whole)
    assert files_of(whole / "epoch2") == {}
    assert [line["step"] for line in log_of(whole / "epoch2") if "loss" in line] == [2, 4, 6, 8]
    assert "at update 9" in read_json(whole / "epoch2" / MANIFEST)["reason"]
    assert read_json(whole / MANIFEST)["snapshots"] == {"epoch1.2": "ok", "epoch2": "diverged"}


def test_a_snapshot_that_is_not_finite_is_a_divergence(
    start: tuple[Path, Path], tmp_path: Path
) -> None:
    """As the end of a run of so many epochs would be."""
    settings = replace(SETTINGS, lr=1e39)  # beyond fp32
    whole = run(start, tmp_path / "whole", settings, snapshots=(0.2, 2))
    assert is_diverged(whole / "epoch0.2")
    assert files_of(whole / "epoch0.2") == {}
