"""Training in shards: two processes on the CPU do what one does."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file
from small_runs import Start, facts_of, files_of, log_of, run
from tiny_models import UNLEARNING

from qunlearn.models.checkpoints import is_diverged, load_dense
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.unlearning import Adapter
from qunlearn.training import unlearn_run
from qunlearn.training.sharding import check_sharding, launch

# The rows of a batch differ in length: a mean of means would not be the mean.
SETTINGS = replace(UNLEARNING, lr=1e-3, epochs=2, autocast=False)
SHARDED = replace(SETTINGS, sharding="fsdp", processes=2)
SNAPSHOTS = (1.2, 2.0)  # after updates 7 and 11


def in_processes(patch: pytest.MonkeyPatch, act: str, update: int) -> None:
    """Have something happen to the processes of a training: see small_runs."""

    def launched(processes: int, function: str, **arguments: Any) -> None:
        launch(processes, "small_runs:act_at", act=act, update=update, **arguments)

    patch.setattr(unlearn_run, "launch", launched)


def test_two_processes_do_what_one_does_even_when_killed_and_asked_to_end(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """They take a row at a time, and compute each layer twice. Slurm asks all, a user maybe one."""
    how: dict[str, Any] = {"snapshots": SNAPSHOTS, "objective": "ga_klr"}
    one = run(start, tmp_path / "one", SETTINGS, **how)
    settings = replace(SHARDED, micro_batch_size=1, gradient_checkpointing=True)
    two, killed = (run(start, tmp_path / "two", settings, **how), tmp_path / "killed")
    for act, last in (("kill", 8), ("ask", 10)):
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
            in_processes(patch, act, 9)
            run(start, killed, settings, **how)
        (mine,) = (tmp_path / "killed checkpoints").iterdir()
        assert [path.name for path in mine.glob("checkpoint-*")] == [f"checkpoint-{last}"]
    assert ended.value.code == 143
    assert "the same command resumes after update 10" in capfd.readouterr().err
    run(start, killed, settings, **how)

    for line, other in zip(log_of(two), log_of(one), strict=True):
        assert line == pytest.approx(other, abs=1e-4, rel=1e-4)
    for name in ("epoch1.2", "epoch2"):
        weights, others = (load_file(each / name / "model.safetensors") for each in (two, one))
        assert weights.keys() == others.keys()
        for key, weight in weights.items():
            assert weight.dtype == others[key].dtype == torch.float32
            assert torch.allclose(weight, others[key], atol=2e-5), key
        assert files_of(two / name).keys() == files_of(one / name).keys()
        assert facts_of(two / name)["updates"] == facts_of(one / name)["updates"]
        assert files_of(killed / name) == files_of(two / name)
        assert log_of(killed / name) == log_of(two / name)
        load_dense(two / name)
    assert (two / "epoch2/config.json").read_bytes() == (one / "epoch2/config.json").read_bytes()
    assert not list(tmp_path.glob("* checkpoints/*"))


def test_the_stop_rule_of_bf16_weights_is_decided_by_both(start: Start, tmp_path: Path) -> None:
    settings = replace(SETTINGS, lr=1e-2, alpha=0.0, epochs=20, stop_nll=6.5)
    one = run(start, tmp_path / "one", settings, "full_bf16")
    settings = replace(settings, sharding="fsdp", processes=2)
    both = run(start, tmp_path / "both", settings, "full_bf16")
    assert facts_of(both)["updates"] == facts_of(one)["updates"] < 110
    assert load_file(both / "model.safetensors")["lm_head.weight"].dtype == torch.bfloat16
    ends = [
        [line["nll_forget"] for line in log_of(run) if "nll_forget" in line][-1]
        for run in (one, both)
    ]
    assert 6.5 <= ends[0] == pytest.approx(ends[1], rel=0.02)


def test_a_bad_loss_of_one(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_processes(monkeypatch, "spoil", 3)
    output = run(start, tmp_path / "bad", SHARDED)
    assert is_diverged(output)
    assert "nan at update 4" in read_json(output / MANIFEST)["reason"]


def test_an_input_error_ends_all_with_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        launch(1, "small_refusal:refuse", value="seven")
    assert ended.value.code == 2
    assert "error: seven: not that; use another\n" in capfd.readouterr().err


def test_the_launcher_passes_sigterm_on_and_ignores_another_launchers_environment() -> None:
    code = (
        "from qunlearn.run.cli import run_script; from qunlearn.training.sharding import launch\n"
    )
    code += "run_script(lambda: launch(2, 'small_refusal:wait'))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ
        | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "RANK": "0", "WORLD_SIZE": "7"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        assert launcher.stdout is not None
        assert [launcher.stdout.readline() for _ in range(2)] == ["waiting\n"] * 2
        launcher.terminate()
        _, said = launcher.communicate(timeout=60)
    assert launcher.returncode == 143
    assert said.count("error: stopped by SIGTERM") == 2


@pytest.mark.parametrize(
    ("changes", "adapter", "message"),
    [
        ({"processes": 2}, "full", "processes: several need sharding fsdp"),
        ({"sharding": "fsdp"}, "lora", "sharding: LoRA trains too little"),
        ({"sharding": "fsdp", "optimizer": "adamw_8bit"}, "full", "optimizer: adamw_8bit does not"),
        ({"sharding": "fsdp", "processes": 3}, "full", "micro_batch_size: 0 times 3 processes"),
        ({"sharding": "fsdp", "processes": 2}, "full", "processes: only 1 GPUs are visible"),
    ],
)
def test_what_does_not_go_together(
    changes: dict[str, Any], adapter: Adapter, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match=message):
        check_sharding(replace(SETTINGS, **changes), adapter)
