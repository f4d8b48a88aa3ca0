"""Quantized folders are what one ships: their own library reloads them, without our code.

Tolerances, as ||difference|| / ||logits|| to what `load_for_evaluation` evaluates: int8 runs the
same kernels, so that it is equal; bitsandbytes multiplies packed 4-bit weights in bfloat16 on some
CPUs (about 0.001 to 0.003); gptqmodel runs the whole model in bfloat16 (about 0.01).
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from bitsandbytes import functional
from gptq_models import CALIBRATION, make_corpus, make_model

from qunlearn.models.checkpoints import load_model, load_tokenizer
from qunlearn.models.updates import quantizable_layers
from qunlearn.quantize.calibration import Texts
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of

TOLERANCE = {"int8": 1e-6, "nf4": 0.01, "fp4": 0.01, "gptq4": 0.03}
ALONE = """
import sys
sys.modules["qunlearn"] = None
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

def ask(model, folder):
    ids = AutoTokenizer.from_pretrained(folder)(TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        return model(ids.to(model.device)).logits.float().cpu()

TEXT, root = sys.argv[1:]
answers = {}
for name in ("int8", "nf4", "fp4"):
    model = AutoModelForCausalLM.from_pretrained(f"{root}/{name}", dtype=torch.float32)
    answers[f"{name} weights"] = {
        path: (layer.weight.detach().cpu(), layer.weight.quant_state.absmax.cpu())
        for path, layer in model.named_modules() if type(layer).__name__ == "Linear4bit"
    }
    answers[name] = ask(model, f"{root}/{name}")
folder = f"{root}/gptq4"
answers["gptq4"] = ask(AutoModelForCausalLM.from_pretrained(folder), folder)
from gptqmodel import GPTQModel
answers["gptq4 by gptqmodel"] = ask(GPTQModel.load(folder).model, folder)
torch.save(answers, f"{root}/answers.pt")
"""
Answers = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with `source`, its corpus and its quantized checkpoints."""
    folder = tmp_path_factory.mktemp("deployable")
    source = make_model(folder / "source", make_corpus(folder / "corpus"))
    texts = Texts(folder / "corpus", CALIBRATION)
    for name in TOLERANCE:
        (folder / name).mkdir()
        method_of(name).write(source, None, Precision.parse(name), folder / name, texts)
    return folder


@pytest.fixture(scope="module")
def answers(root: Path) -> Answers:
    """Of the libraries in a process where our code can neither be found nor be imported."""
    surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "-c", ALONE, text(root), str(root)],
        env={**surroundings, "GPTQMODEL_CPU_WORKERS": "2", "HF_HUB_OFFLINE": "1"},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return torch.load(root / "answers.pt", weights_only=True)


def text(root: Path) -> str:
    return (root / "corpus/raw/holdout.json").read_text()[:200]


def evaluated(root: Path, name: str) -> torch.Tensor:
    """The logits of the model as it is evaluated; of the source in float32 likewise."""
    if name == "source":
        model, tokenizer = load_model(root / name, torch.float32), load_tokenizer(root / name)
    else:
        model, tokenizer = load_for_evaluation(root / name, name)
    ids = tokenizer(text(root), return_tensors="pt").input_ids
    with torch.no_grad():
        return model(ids.to(model.device)).logits.float().cpu()


def distance(logits: torch.Tensor, expected: torch.Tensor) -> float:
    return float((logits - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", [*TOLERANCE, "gptq4 by gptqmodel"])
def test_libraries_alone_give_what_is_evaluated(root: Path, answers: Answers, name: str) -> None:
    precision = name.split()[0]
    assert distance(answers[name], evaluated(root, precision)) <= TOLERANCE[precision]
    # That this is the quantized model, not a dense one: it is further from its source.
    assert distance(answers[name], evaluated(root, "source")) > 2 * TOLERANCE[precision]


@pytest.mark.parametrize("name", ["nf4", "fp4"])
def test_four_bit_folders_hold_the_codes_of_the_source(
    root: Path, answers: Answers, name: str
) -> None:
    """Saved after a forward pass, they would not: on some CPUs it repacks codes and maxima."""
    loaded = answers[f"{name} weights"]
    layers = quantizable_layers(load_model(root / "source", torch.float32))
    assert loaded.keys() == layers.keys()
    for path, layer in layers.items():
        packed, state = functional.quantize_4bit(
            layer.weight.detach(), blocksize=64, quant_type=name
        )
        assert torch.equal(loaded[path][0], packed)
        assert torch.equal(loaded[path][1], state.absmax)
