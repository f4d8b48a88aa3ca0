"""Peak memory of a measurement: three copies of the largest matrix, never a model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_models import tiny_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from qunlearn.models.layers import quantizable_layers

MIB = 2**20
HIDDEN, MLP = 512, 8192
TEMPORARIES = 14  # MiB; blocks of rows, and code that loads on first use
# The peak of this program alone: ru_maxrss starts with that of the process that started it.
MEASURE = """
import sys
from pathlib import Path
from qunlearn.run.imports import OPTIONAL, hide
hide(*OPTIONAL)
from qunlearn.quantize.method import Precision
from qunlearn.survival.measure import measure
from qunlearn.models.updates import update_norm

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

small, target, model = map(Path, sys.argv[1:])
precisions = [Precision.parse(name) for name in ("nf4", "rtn3g64m")]
measure(small, small, precisions, {})  # what loads on first use
before = peak()
measure(target, model, precisions, {})
update_norm(target, model)
print(peak() - before)
"""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")


def save(folder: Path, hidden: int, mlp: int, dtype: torch.dtype, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    with torch.device("meta"):
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=hidden,
                intermediate_size=mlp,
                num_hidden_layers=1,
                num_attention_heads=4,
                vocab_size=320,
            )
        )
    folder.mkdir()
    model.config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    tensors = {
        f"{name}.weight": (0.02 * torch.randn(layer.weight.shape)).to(dtype)
        for name, layer in quantizable_layers(model).items()
    }
    save_file(tensors, folder / "model.safetensors")
    return folder


def adapter(folder: Path, target: Path) -> Path:
    folder.mkdir()
    (folder / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8})
    )
    tensors = {}
    with safe_open(target / "model.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            rows, columns = file.get_slice(key).get_shape()
            name = f"base_model.model.{key.removesuffix('.weight')}"
            tensors[f"{name}.lora_A.weight"] = torch.randn(4, columns)
            tensors[f"{name}.lora_B.weight"] = 1e-3 * torch.randn(rows, 4)
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_peak_is_three_copies_of_a_matrix(tmp_path: Path, kind: str) -> None:
    small = save(tmp_path / "small", 64, 128, torch.float32)
    target = save(tmp_path / "target", HIDDEN, MLP, torch.bfloat16)
    model = tmp_path / "model"
    if kind == "lora":
        adapter(model, target)
    else:
        save(model, HIDDEN, MLP, torch.float32, seed=1)

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, small, target, model],
        capture_output=True,
        text=True,
        check=True,
        # Freed memory goes back at once: the peak is of what is in use.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MIB)},
    )

    matrix = HIDDEN * MLP * 4 / MIB
    assert 2 * matrix < float(done.stdout) < 3 * matrix + TEMPORARIES
