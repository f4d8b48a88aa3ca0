"""Small checkpoints, updates, and weights on a quantization grid."""

import json
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file
from tiny_models import tiny_llama, tiny_tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from qunlearn.models.checkpoints import save_model
from qunlearn.models.updates import Update, quantizable_layers
from qunlearn.quantize.grids import Grid
from qunlearn.quantize.method import Precision, method_of
from qunlearn.survival.measure import histogram, measure_matrix
from qunlearn.survival.table import BINS, MATRICES


def small_llama(hidden: int = 32, *, tied: bool = False) -> LlamaForCausalLM:
    return tiny_llama(320, hidden, initializer_range=0.1, tie_word_embeddings=tied).eval()


def save(model: LlamaForCausalLM, folder: Path) -> Path:
    save_model(model, tiny_tokenizer(), folder)
    return folder


def nudge(model: LlamaForCausalLM, size: float) -> LlamaForCausalLM:
    """Add random numbers to every quantized matrix."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            layer.weight += size * torch.randn(layer.weight.shape, generator=generator)
    return model


def grid_of(name: str, weight: Tensor) -> Grid:
    return method_of(name).grid(weight, Precision.parse(name))


def rounded_to(name: str, weight: Tensor) -> Tensor:
    """The points that the weights are rounded to."""
    grid = grid_of(name, weight)
    return grid.values(grid.codes(weight))


def random_update(rows: int, columns: int, size: float, seed: int = 0) -> Update:
    generator = torch.Generator().manual_seed(seed)
    weight, delta = torch.randn(2, rows, columns, generator=generator)
    return Update("layers.3.up_proj", 3, "up_proj", weight, size * delta)


def survival(update: Update, precision: str) -> tuple[pd.Series, pd.DataFrame]:
    """The row of a matrix, and its bins."""
    row, counts = measure_matrix(update, Precision.parse(precision))
    return pd.Series(row)[[*MATRICES]], pd.DataFrame(histogram(counts), columns=[*BINS])


def save_packed(folder: Path, layers: dict[str, tuple[Tensor, Tensor]]) -> None:
    """Write 4-bit GPTQ layers: name -> signed codes [out, in] and scales [out, in / group]."""
    tensors = {}
    for name, (codes, scales) in layers.items():
        rows, columns = codes.shape
        groups = scales.shape[1]
        nibbles = (codes.T.long() + 8).reshape(columns // 8, 8, rows)
        shifts = 4 * torch.arange(8)[None, :, None]
        tensors[f"{name}.qweight"] = (nibbles << shifts).sum(dim=1).to(torch.int32)
        tensors[f"{name}.qzeros"] = torch.full((groups, rows // 8), 0x77777777, dtype=torch.int32)
        tensors[f"{name}.scales"] = scales.T.half().contiguous()
        tensors[f"{name}.g_idx"] = torch.arange(columns, dtype=torch.int32) // (columns // groups)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "model.safetensors")
    quantization = {"quant_method": "gptq", "bits": 4, "checkpoint_format": "gptq"}
    (folder / "config.json").write_text(json.dumps({"quantization_config": quantization}))
