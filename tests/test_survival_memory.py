"""Peak memory of a measurement: three copies of the largest matrix, never a model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import tiny_tokenizer
from transformers import LlamaConfig

from qunlearn.models.updates import quantized_layers

MIB = 2**20
HIDDEN, MLP = 512, 8192
TEMPORARIES = 14  # MiB; blocks of rows, and code that loads on first use
# The peak of this program alone: ru_maxrss starts with that of the process that started it.
MEASURE = """
import sys
from pathlib import Path
from qunlearn.run.cli import hide_unused
hide_unused()
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


def save(folder: Path, hidden: int, mlp: int, dtype: torch.dtype) -> Path:
    """A model of one layer, with noise for its matrices alone."""
    sizes = {"hidden_size": hidden, "intermediate_size": mlp, "num_attention_heads": 4}
    config = LlamaConfig(**sizes, num_hidden_layers=1, vocab_size=320, architectures=["Llama"])
    config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    save_file({"x": torch.zeros(1)}, folder / "model.safetensors")  # to be a checkpoint at all
    layers = quantized_layers(folder)
    noise = {f"{name}.weight": torch.randn(layer.weight.shape) for name, layer in layers.items()}
    tensors = {name: (0.02 * weight).to(dtype) for name, weight in noise.items()}
    save_file(tensors, folder / "model.safetensors")
    return folder


def test_peak_is_three_copies_of_a_matrix(tmp_path: Path) -> None:
    small = save(tmp_path / "small", 64, 128, torch.float32)
    target = save(tmp_path / "target", HIDDEN, MLP, torch.bfloat16)
    model = save(tmp_path / "model", HIDDEN, MLP, torch.float32)

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
