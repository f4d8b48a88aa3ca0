"""Small checkpoints, updates, and weights on a quantization grid."""

from pathlib import Path

import pandas as pd
import torch
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
