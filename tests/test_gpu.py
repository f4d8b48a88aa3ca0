"""What only a GPU can tell: a 7B update's speed and memory, and that results equal the CPU's."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gptq_models import CALIBRATION, make_corpus, make_model
from small_runs import log_of, make_start, run
from tiny_models import UNLEARNING
from torch import Tensor

from qunlearn.quantize.calibration import Texts
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of
from qunlearn.training import chunked
from qunlearn.training.losses import token_nll
from qunlearn.training.terms.klr import mean_kl

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU here"),
]
ROOT = Path(__file__).parents[1]
PROMPT = torch.arange(40).view(2, 20)


def step(folder: Path, *flags: str) -> Any:
    subprocess.run(
        [sys.executable, "-m", "benchmarks.step_7b", *flags, "--output", str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"},
        check=True,
    )
    (written,) = folder.glob("step_*.json")
    return json.loads(written.read_text(encoding="utf-8"))


def gpu_gib() -> float:
    return torch.cuda.get_device_properties(0).total_memory / 2**30


def test_a_lora_update_at_7b(tmp_path: Path) -> None:
    if gpu_gib() < 40:
        pytest.skip(f"the GPU has {gpu_gib():.0f} GiB; the update may take 40")
    found = step(tmp_path)
    assert found["peak_gib"] <= 40
    if "H100" in found["device"]:
        assert found["mfu"] >= 0.5


def test_a_full_update_at_7b_fits_80_gb(tmp_path: Path) -> None:
    if gpu_gib() < 75:
        pytest.skip(f"the GPU has {gpu_gib():.0f} GiB; the update may take 80 GB")
    found = step(tmp_path, "--mode", "full", "--gradient-checkpointing")
    assert found["peak_gib"] <= 80e9 / 2**30


@pytest.mark.parametrize("trains_head", [False, True])
def test_chunked_losses_equal_the_cpus(trains_head: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "CHUNK", 7 * 50)
    generator = torch.Generator().manual_seed(0)
    hidden, before = (torch.randn(3, 11, 8, generator=generator) for _ in range(2))
    head, frozen = (torch.randn(50, 8, generator=generator) for _ in range(2))
    labels = torch.randint(50, (3, 11), generator=generator)

    def losses(device: str) -> list[Tensor]:
        states, weight = hidden.to(device).requires_grad_(), head.to(device)
        weight.requires_grad_(trains_head)
        nll, _ = token_nll(states, weight, labels.to(device))
        kl = mean_kl(
            states, weight, before.to(device), frozen.to(device), torch.ones(3, 11, device=device)
        )
        of = (states, weight) if trains_head else (states,)
        rows = nll.sum(dim=1) * torch.arange(3.0, device=device)
        found = [nll, kl, *torch.autograd.grad(rows.sum() + kl, of)]
        return [tensor.detach().cpu() for tensor in found]

    for one, other in zip(losses("cpu"), losses("cuda"), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", ["int8", "nf4", "gptq4"])
def test_forward_passes_equal_the_cpus(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize("offload", [False, True])
def test_training_in_shards_equals_training_whole(offload: bool, tmp_path: Path) -> None:
    """One process, so that one GPU is enough; tests/test_sharding.py has two, on the CPU."""
    start = make_start(tmp_path)
    settings = replace(UNLEARNING, lr=1e-3, epochs=2, autocast=False)
    whole = log_of(run(start, tmp_path / "whole", settings))
    settings = replace(settings, sharding="fsdp", offload=offload)
    sharded = log_of(run(start, tmp_path / "sharded", settings))
    assert [line.keys() for line in sharded] == [line.keys() for line in whole]
    for line, other in zip(sharded, whole, strict=True):
        assert line == pytest.approx(other, abs=1e-3, rel=1e-3)
