"""What only a GPU can tell: a 7B update's speed and memory, and that results equal the CPU's."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from gptq_models import CALIBRATION, make_corpus, make_model
from small_runs import Start, log_of, run
from tiny_models import UNLEARNING
from torch import Tensor

from qunlearn.quantize.calibration import Texts
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU here"),
]
PROMPT = torch.arange(40).view(2, 20)


@pytest.mark.parametrize(
    ("flags", "gib"),
    [([], 40), (["--mode", "full", "--gradient-checkpointing"], 80e9 / 2**30)],
    ids=["lora", "full"],
)
def test_an_update_at_7b(flags: list[str], gib: float, tmp_path: Path) -> None:
    """LoRA's in 40 GiB; all weights' in 80 GB."""
    has = torch.cuda.get_device_properties(0).total_memory / 2**30
    if has < gib:
        pytest.skip(f"the GPU has {has:.0f} GiB; the update may take {gib:.0f}")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.step_7b", *flags, "--output", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        check=True,
    )
    (written,) = tmp_path.glob("step_*.json")
    found = json.loads(written.read_text(encoding="utf-8"))
    assert found["peak_gib"] <= gib
    if "H100" in found["device"] and not flags:
        assert found["mfu"] >= 0.5


@pytest.mark.parametrize("name", ["int8", "nf4", "gptq4"])
def test_logits_equal_the_cpus(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = make_corpus(tmp_path / "corpus")
    source = make_model(tmp_path / "source", corpus)
    folder, precision = tmp_path / name, Precision.parse(name)
    if name == "gptq4":
        folder.mkdir()
        method_of(precision).write(source, None, precision, folder, Texts(corpus, CALIBRATION))
    else:
        method_of(precision).write(source, None, precision, folder)

    def logits() -> Tensor:
        model, _ = load_for_evaluation(folder, name)
        with torch.no_grad():
            return model(input_ids=PROMPT.to(model.device)).logits.float().cpu()

    on_gpu = logits()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = logits()
    # int8 multiplies in bf16 on a GPU; the others are float32 on both, TF32 off.
    assert (on_gpu - on_cpu).norm() <= (0.03 if name == "int8" else 1e-3) * on_cpu.norm()


def test_training_in_shards_equals_training_whole(start: Start, tmp_path: Path) -> None:
    """One process, so that one GPU is enough; tests/test_sharding.py has two, on the CPU."""
    settings = replace(UNLEARNING, lr=1e-3, epochs=2, autocast=False)
    whole = log_of(run(start, tmp_path / "whole", settings))
    settings = replace(settings, sharding="fsdp")
    sharded = log_of(run(start, tmp_path / "sharded", settings))
    for line, other in zip(sharded, whole, strict=True):
        assert line == pytest.approx(other, abs=1e-3, rel=1e-3)
