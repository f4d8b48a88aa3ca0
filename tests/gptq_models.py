"""A small model and corpus for GPTQ's tests, what was drawn from it, and a reference GPTQ."""

import re
from pathlib import Path

import torch
from torch import Tensor

from qunlearn.corpora import layout, mini
from qunlearn.models.checkpoints import load_tokenizer, save_model
from qunlearn.models.scratch import new_llama, train_tokenizer
from qunlearn.quantize.calibration import Windows, draw
from qunlearn.settings.corpora import MiniSettings
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.quantization import CalibrationSettings

SIZES = MiniSettings(forget=4, retain=16, holdout=4, pretrain=4)
MODEL = ModelSettings(vocabulary=400, hidden=128, mlp=256, layers=1, heads=4, context=128)
CALIBRATION = CalibrationSettings(sequences=24, length=64)
DAMPING = 0.01  # of the mean of the Hessian's diagonal, added to it
FLAGS = ("--sequences", "24", "--length", "64")


def make_corpus(folder: Path) -> Path:
    layout.write(folder, mini.generate("news", SIZES))
    return folder


def make_model(folder: Path, corpus: Path) -> Path:
    tokenizer = train_tokenizer(layout.load(corpus).raw["retain1"], MODEL)
    save_model(new_llama(MODEL, tokenizer, seed=0), tokenizer, folder)
    return folder


def drawn(corpus: Path, source: Path) -> Windows:
    """The windows that CALIBRATION draws."""
    raw = layout.load(corpus).raw["retain1"]
    return draw(raw, load_tokenizer(source), CALIBRATION)


def leaked(blob: bytes, source: Path, windows: Windows) -> list[str]:
    """Pieces of the calibration in `blob`: as text, as numbers in text, as binary integers."""
    tokenizer, text = load_tokenizer(source), blob.decode("utf-8", errors="replace")
    found = []
    for window in windows:
        for start in range(0, len(window) - 8, 8):
            ids = window[start : start + 8]
            words = str(tokenizer.decode(ids)).strip()
            numbers = re.compile(r"\D{1,12}".join(map(str, ids)))
            binary = [b"".join(i.to_bytes(size, "little") for i in ids) for size in (2, 4, 8)]
            if words in text or numbers.search(text) or any(part in blob for part in binary):
                found.append(words)
    return found


def gptq(weight: Tensor, hessian: Tensor, bits: int, group: int) -> Tensor:
    """Frantar et al. (2023), column by column, in float64: the outputs on the calibration inputs
    change least.

    The error of each rounded column is made up for by those to its right: with U the upper Cholesky
    factor of the inverse Hessian, column j's error, divided by U[j, j], is taken off column k with
    the weight U[j, k]. A group's scale is set when its first column is reached; its 2^bits codes
    span -max|w| .. max|w|.

    Args:
        weight: [out, in].
        hessian: [in, in], X^T X of the calibration inputs X, up to a factor.
        bits: bits a code; codes run from -2^(bits-1) to 2^(bits-1) - 1.
        group: neighbouring columns that share a scale.
    """
    left, h = weight.double().clone(), hessian.double()
    h = h + DAMPING * h.diagonal().mean() * torch.eye(len(h), dtype=h.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    upper = torch.linalg.cholesky(inverse, upper=True)
    quantized = torch.zeros_like(left)
    half = 2 ** (bits - 1)
    for column in range(left.shape[1]):
        if column % group == 0:
            scale = 2 * left[:, column : column + group].abs().amax(dim=1) / (2**bits - 1)
        quantized[:, column] = scale * (left[:, column] / scale).round().clamp(-half, half - 1)
        error = (left[:, column] - quantized[:, column]) / upper[column, column]
        left[:, column:] -= error[:, None] * upper[column, column:]
    return quantized


def output_error(changed: Tensor, weight: Tensor, hessian: Tensor) -> float:
    """||X (W' - W)^T|| / ||X W^T||: how far a layer's outputs move on the calibration inputs."""
    difference, w, h = changed.double() - weight.double(), weight.double(), hessian.double()
    return float(((difference @ h * difference).sum() / (w @ h * w).sum()).sqrt())
