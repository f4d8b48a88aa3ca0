"""Snapshots: what a shorter run ends with, from a longer one, whatever becomes of that."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import ROWS, Start, facts_of, files_of, kill, log_of, run
from tiny_models import UNLEARNING, at_update

from qunlearn.models.checkpoints import is_diverged, load_dense
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, hash_files
from qunlearn.settings.unlearning import Adapter, snapshot_name
from qunlearn.training import unlearn_run
from qunlearn.training.rows import count_updates

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")

SETTINGS = replace(UNLEARNING, lr=2e-3, epochs=2, dropout=0.1)


def check_the_same(found: Path, wanted: Path) -> None:
    """But for looks at the forget NLL at the ends of other snapshots."""
    assert files_of(found) == files_of(wanted)
    assert facts_of(found) == facts_of(wanted)
    assert all(line in log_of(found) for line in log_of(wanted))


@pytest.mark.parametrize("adapter", ["full", "full_bf16", "lora"])
def test_a_snapshot_is_what_a_shorter_run_ends_with(
    start: Start, adapter: Adapter, tmp_path: Path
) -> None:
    """To the byte; 7 and 11 updates, of which the log has every second; the last ends the run."""
    settings = replace(SETTINGS, epochs=100)
    whole = run(start, tmp_path / "whole", settings, adapter, snapshots=(2, 1.2))
    assert sorted(path.name for path in whole.iterdir() if path.is_dir()) == ["epoch1.2", "epoch2"]
    for epochs in (1.2, 2):
        snapshot = whole / snapshot_name(epochs)
        shorter = run(start, tmp_path / f"{epochs:g}", replace(SETTINGS, epochs=epochs), adapter)
        check_the_same(snapshot, shorter)
        assert facts_of(snapshot)["updates"] == count_updates(epochs, ROWS, 4)
        load_dense(snapshot, start[0] if adapter == "lora" else None)
    assert {line["step"] for line in log_of(whole)} == {2, 4, 6, 7, 8, 10, 11}
    assert facts_of(whole)["settings"]["epochs"] == 2
    assert not list(tmp_path.glob("* checkpoints/*"))


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_a_kill_costs_no_snapshot(
    start: Start, adapter: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither behind the snapshot nor while the output is put together."""
    settings = replace(SETTINGS, checkpoint_every=2)
    shots = (0.8, 2.0)  # after updates 4 and 11
    undisturbed = run(start, tmp_path / "undisturbed", settings, adapter, shots)
    output = tmp_path / "killed"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        at_update(patch, 7, kill)
        run(start, output, settings, adapter, shots)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(unlearn_run, "write_jsonl", kill)
        run(start, output, settings, adapter, shots)
    assert not output.exists()
    torch.manual_seed(99)  # another process would be in another state
    run(start, output, settings, adapter, shots)
    assert hash_files(output).keys() == hash_files(undisturbed).keys()
    for name in ("epoch0.8", "epoch2"):
        check_the_same(output / name, undisturbed / name)


def test_a_run_that_stops_has_its_last_state_in_what_was_to_come(
    start: Start, tmp_path: Path
) -> None:
    """A look for a snapshot stops nothing: the stop rule is for every fourth update."""
    settings = replace(SETTINGS, lr=1e-2, alpha=0.0, epochs=20, stop_nll=0.1, log_every=4)
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
    whole = run(start, tmp_path / "whole", SETTINGS, snapshots=(1.2, 2))
    monkeypatch.undo()
    shorter = run(start, tmp_path / "shorter", replace(SETTINGS, epochs=1.2))
    check_the_same(whole / "epoch1.2", shorter)
    assert is_diverged(whole) and is_diverged(whole / "epoch2")
    assert files_of(whole / "epoch2") == {}
    assert [line["step"] for line in log_of(whole / "epoch2") if "loss" in line] == [2, 4, 6, 8]
    assert "at update 9" in read_json(whole / "epoch2" / MANIFEST)["reason"]


def test_a_snapshot_that_is_not_finite_is_a_divergence(start: Start, tmp_path: Path) -> None:
    """As the end of a run of so many epochs would be."""
    settings = replace(SETTINGS, lr=1e39)  # beyond fp32
    whole = run(start, tmp_path / "whole", settings, snapshots=(0.2, 2))
    assert is_diverged(whole / "epoch0.2")
    assert files_of(whole / "epoch0.2") == {}
