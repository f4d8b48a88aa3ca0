"""int8, fp4 and nf4 by bitsandbytes itself, in the format that it and transformers reload.

A 4-bit layer must be saved and dequantized *before* its first forward pass. On CPUs with
AVX512-BF16 that pass repacks the codes and rounds the block maxima to bfloat16 in place, and what
is saved or dequantized afterwards is silently wrong (relative errors of 0.2 to 1 in the logits).
"""

from collections.abc import Mapping
from typing import Any

import bitsandbytes
import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel

from qunlearn.errors import InputError
from qunlearn.quantize.layers import output_head, quantizable_layers

bnb: Any = bitsandbytes.nn  # its annotations are partial and partly wrong

BLOCK = 64  # weights that share a scale in 4 bits
OUTLIER_THRESHOLD = 6.0
"""LLM.int8(): activations beyond it are multiplied in 16 bits, as the method's authors set it."""


def quantize_in_memory(model: PreTrainedModel, method: str) -> int:
    """Replace the linear layers of a dense model on the CPU by bitsandbytes' quantized ones.

    The codes come from the weights at hand, in the precision they have; nothing passes through a
    16-bit copy or the disk first (LLM.int8() itself rounds to float16). They are computed on the
    CPU, so a checkpoint does not depend on the GPU that evaluates it. The model is for
    `save_pretrained`, `dequantize_in_place` or, in int8, for being asked.

    Args:
        method: `int8`, `fp4` or `nf4`.

    Returns:
        How many layers were replaced.

    Raises:
        InputError: see `check_blocks`.
    """
    layers = quantizable_layers(model)
    check_blocks(layers, method)
    for name, layer in layers.items():
        model.set_submodule(name, _int8(layer) if method == "int8" else _four_bit(layer, method))
    model.config.quantization_config = _config(model, method)
    return len(layers)


def check_blocks(layers: Mapping[str, nn.Linear], method: str) -> None:
    """Complain before any work when the blocks of 4 bits do not fill every layer's rows.

    Raises:
        InputError: names the first layer at fault; bitsandbytes would read back other weights
            than it wrote.
    """
    for name, layer in layers.items():
        if method != "int8" and layer.in_features % BLOCK:
            raise InputError(
                f"precision '{method}': its blocks of {BLOCK} do not divide the "
                f"{layer.in_features} inputs of {name}; use int8 or rtn4"
            )


def dequantize_in_place(model: PreTrainedModel) -> None:
    """Replace 4-bit layers by dense ones of the same weights, in float32; before a forward pass."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, bnb.Linear4bit):
            dense = nn.Linear(
                layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta"
            )
            state = layer.weight.quant_state
            values = bitsandbytes.functional.dequantize_4bit(layer.weight.data, state)
            dense.weight = nn.Parameter(values.float(), requires_grad=False)
            dense.bias = layer.bias
            model.set_submodule(name, dense)


def _int8(layer: nn.Linear) -> nn.Module:
    quantized: nn.Module = bnb.Linear8bitLt(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        has_fp16_weights=False,
        threshold=OUTLIER_THRESHOLD,
        device="meta",
    )
    weight = layer.weight.detach()
    quantized.weight = bnb.Int8Params(weight, requires_grad=False).to("cpu")
    quantized.bias = layer.bias
    return quantized


def _four_bit(layer: nn.Linear, method: str) -> nn.Module:
    quantized: nn.Module = bnb.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compress_statistics=False,
        quant_type=method,
        device="meta",
    )
    quantized.weight = bnb.Params4bit(
        layer.weight.detach(),
        requires_grad=False,
        compress_statistics=False,
        quant_type=method,
        module=quantized,
    ).to("cpu")
    quantized.bias = layer.bias
    return quantized


def _config(model: PreTrainedModel, method: str) -> BitsAndBytesConfig:
    """What transformers must know to reload the layers; blocks of 64, no double quantization."""
    head = output_head(model)
    kept = [name for name, module in model.named_modules() if module is head]
    if method == "int8":
        return BitsAndBytesConfig(
            load_in_8bit=True,
            llm_int8_threshold=OUTLIER_THRESHOLD,
            llm_int8_skip_modules=kept,
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method,
        bnb_4bit_use_double_quant=False,
        bnb_4bit_compute_dtype=torch.float32,
        llm_int8_skip_modules=kept,
    )
