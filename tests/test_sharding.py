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
from small_runs import facts_of, files_of, log_of, make_start, run
from tiny_models import UNLEARNING

from qunlearn.models.checkpoints import is_diverged, load_dense
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.unlearning import Adapter, UnlearnSettings
from qunlearn.training import unlearn_run
from qunlearn.training.launch import launch
from qunlearn.training.sharding import check_sharding, micro_batch

# The rows of a batch differ in length: a mean of means would not be the mean.
SETTINGS = replace(UNLEARNING, lr=1e-3, epochs=2, autocast=False)
SHARDED = replace(SETTINGS, sharding="fsdp", processes=2)
SNAPSHOTS = (1.2, 2.0)  # after updates 7 and 11
Start = tuple[Path, Path]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    return make_start(tmp_path_factory.mktemp("start"))


@pytest.fixture(scope="module")
def two(start: Start, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes make, a row at a time, each layer computed twice."""
    output = tmp_path_factory.mktemp("two") / "two"
    settings = replace(SHARDED, micro_batch_size=1, gradient_checkpointing=True)
    return run(start, output, settings, snapshots=SNAPSHOTS, objective="ga_klr")


def in_processes(patch: pytest.MonkeyPatch, name: str, **more: Any) -> None:
    """Have the processes of a training call a function of small_runs in the place of their own."""

    def launched(processes: int, function: str, **arguments: Any) -> None:
        launch(processes, f"small_runs:{name}", **more, **arguments)

    patch.setattr(unlearn_run, "launch", launched)


def check_losses(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [line.keys() for line in found] == [line.keys() for line in wanted]
    for line, other in zip(found, wanted, strict=True):
        for name, value in line.items():
            assert value == pytest.approx(other[name], abs=1e-4, rel=1e-4), (name, line["step"])


def check_weights(found: Path, wanted: Path) -> None:
    weights, others = (load_file(folder / "model.safetensors") for folder in (found, wanted))
    assert weights.keys() == others.keys()
    for name, weight in weights.items():
        assert weight.dtype == others[name].dtype == torch.float32
        assert torch.allclose(weight, others[name], atol=2e-5), name


def test_two_processes_do_what_one_does(start: Start, two: Path, tmp_path: Path) -> None:
    one = run(start, tmp_path / "one", SETTINGS, snapshots=SNAPSHOTS, objective="ga_klr")
    check_losses(log_of(two), log_of(one))
    for name in ("epoch1.2", "epoch2"):
        check_weights(two / name, one / name)
        assert files_of(two / name).keys() == files_of(one / name).keys()
        assert facts_of(two / name)["updates"] == facts_of(one / name)["updates"]
        load_dense(two / name)
    assert (two / "epoch2/config.json").read_bytes() == (one / "epoch2/config.json").read_bytes()
    assert not list(two.parent.glob("* checkpoints/*"))


def test_a_killed_run_goes_on_in_shards(
    start: Start, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SHARDED, micro_batch_size=1, gradient_checkpointing=True)
    killed = tmp_path / "killed"
    how = {"start": start, "output": killed, "settings": settings}
    how |= {"snapshots": SNAPSHOTS, "objective": "ga_klr"}
    with monkeypatch.context() as patch:
        in_processes(patch, "run_killed_at", update=9)
        with pytest.raises(SystemExit):
            run(**how)
    (mine,) = (tmp_path / "killed checkpoints").iterdir()
    assert [path.name for path in mine.glob("checkpoint-*")] == ["checkpoint-8"]
    run(**how)
    for name in ("epoch1.2", "epoch2"):
        assert files_of(killed / name) == files_of(two / name)
        assert log_of(killed / name) == log_of(two / name)


def test_the_stop_rule_with_weights_on_the_host(start: Start, tmp_path: Path) -> None:
    """NPO, of bf16 weights; decided by both together."""
    settings = replace(SETTINGS, lr=1e-2, alpha=0.0, epochs=20, stop_nll=6.5)
    one = run(start, tmp_path / "one", settings, "full_bf16")
    settings = replace(settings, sharding="fsdp", processes=2, offload=True)
    both = run(start, tmp_path / "both", settings, "full_bf16")
    assert facts_of(both)["updates"] == facts_of(one)["updates"] < 110
    assert load_file(both / "model.safetensors")["lm_head.weight"].dtype == torch.bfloat16
    ends = [
        [line["nll_forget"] for line in log_of(run) if "nll_forget" in line][-1]
        for run in (one, both)
    ]
    assert 6.5 <= ends[0] == pytest.approx(ends[1], rel=0.02)


def test_one_bad_loss_is_everyones(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "bad"
    in_processes(monkeypatch, "run_with_a_bad_loss")
    run(start, output, SHARDED)
    assert is_diverged(output)
    assert "nan at update 4" in read_json(output / MANIFEST)["reason"]


def test_an_input_error_ends_all_with_its_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        launch(1, "small_refusal:refuse", value="seven")
    assert ended.value.code == 2
    assert "error: seven: not that; use another\n" in capfd.readouterr().err


def test_the_environment_of_another_launcher_is_not_ours() -> None:
    code = "import os; from qunlearn.run.cli import run_script; "
    code += "run_script(lambda: print([k for k in ('RANK', 'WORLD_SIZE') if k in os.environ]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "RANK": "0", "WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_who_launched_passes_sigterm_on() -> None:
    code = "from qunlearn.training.launch import launch; launch(2, 'small_refusal:wait')"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}"},
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
        ({"processes": 2}, "full", "processes 2 and offload false need sharding fsdp"),
        ({"offload": True}, "full", "processes 1 and offload true need sharding fsdp"),
        ({"sharding": "fsdp"}, "lora", "sharding fsdp: LoRA trains too little"),
        ({"sharding": "fsdp"}, "full", "one process on the CPU has nothing to share"),
        ({"sharding": "fsdp", "optimizer": "adamw_8bit"}, "full", "optimizer adamw_8bit does not"),
        ({"sharding": "fsdp", "processes": 3}, "full", "processes 3 does not divide batch_size 4"),
        (
            {"sharding": "fsdp", "processes": 2, "micro_batch_size": 4},
            "full_bf16",
            "micro_batch_size 4 does not divide a process's share 2 of batch_size 4",
        ),
    ],
)
def test_what_does_not_go_together(changes: dict[str, Any], adapter: Adapter, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_sharding(replace(SETTINGS, **changes), adapter)


def test_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="processes 2: only 1 GPUs are visible"):
        check_sharding(SHARDED, "full")


def test_rows_of_a_forward_pass() -> None:
    def of(**changes: Any) -> int:
        return micro_batch(replace(UnlearnSettings(batch_size=12), **changes))

    assert of() == 12
    assert of(processes=3) == 4
    assert of(processes=3, micro_batch_size=2) == 2
