"""What only a GPU can tell: a 7B update's speed and memory, and that results equal the CPU's."""

from dataclasses import replace
from pathlib import Path

import bitsandbytes
import pytest
import torch
from gptq_models import CALIBRATION, make_corpus, make_model
from small_runs import Start, log_of, run
from tiny_models import UNLEARNING
from torch import Tensor

from qunlearn.quantize.calibration import Texts
from qunlearn.quantize.method import Precision, method_of

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA GPU here"),
]
PROMPT = torch.arange(40).view(2, 20)


@pytest.mark.parametrize("name", ["bf16", "int8", "nf4", "fp4", "gptq4", "rtn3g64"])
def test_weights_equal_the_cpus_bit_for_bit_and_logits_to_three_percent(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "gptq4":
        pytest.importorskip("gptqmodel")
    corpus = make_corpus(tmp_path / "corpus")
    source = make_model(tmp_path / "source", corpus)
    folder, precision = tmp_path / name, Precision.parse(name)
    if name == "gptq4":
        folder.mkdir()
        method_of(precision).write(source, None, precision, folder, Texts(corpus, CALIBRATION))
    else:
        method_of(precision).write(source, None, precision, folder)

    def load(dtype: torch.dtype, device: str) -> tuple[dict[str, Tensor], Tensor]:
        model = method_of(name).load(folder, precision, dtype, torch.device(device)).eval()
        weights = {key: value.cpu() for key, value in model.state_dict().items()}
        with torch.no_grad():
            return weights, model(input_ids=PROMPT.to(model.device)).logits.float().cpu()

    found, on_gpu = load(torch.bfloat16, "cuda")
    # bitsandbytes' layers land on a GPU that torch sees, wherever they are asked to be.
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wanted, _ = load(torch.bfloat16, "cpu")
    _, on_cpu = load(torch.float32, "cpu")
    assert found.keys() == wanted.keys()
    assert all(torch.equal(value, wanted[key]) for key, value in found.items())
    assert (on_gpu - on_cpu).norm() <= 0.03 * on_cpu.norm()  # bfloat16 there, float32 here


@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_bitsandbytes_codes_are_the_same_from_either_processor(kind: str) -> None:
    """They are computed on the CPU, a minute for 7B on 8 cores; this tells whether they need be."""
    weight = torch.randn(512, 1024, generator=torch.Generator().manual_seed(0))
    (here, scale), (there, other) = (
        (codes.cpu(), state.absmax.cpu())
        for codes, state in (
            bitsandbytes.functional.quantize_4bit(each, blocksize=64, quant_type=kind)
            for each in (weight, weight.cuda())
        )
    )
    assert torch.equal(scale, other)
    assert torch.equal(here, there)


def test_training_in_shards_equals_training_whole(start: Start, tmp_path: Path) -> None:
    """One process, so that one GPU is enough; tests/test_sharding.py has two, on the CPU."""
    settings = replace(UNLEARNING, lr=1e-3, epochs=2, autocast=False)
    whole = log_of(run(start, tmp_path / "whole", settings))
    settings = replace(settings, sharding="fsdp")
    sharded = log_of(run(start, tmp_path / "sharded", settings))
    for line, other in zip(sharded, whole, strict=True):
        assert line == pytest.approx(other, abs=1e-3, rel=1e-3)
