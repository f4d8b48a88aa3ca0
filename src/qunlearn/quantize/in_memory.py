"""A model in a precision without a file in between: what several precisions of one model share.

`quantize_checkpoint` and `load_for_evaluation` put a folder between quantizing and asking. Where
nobody wants the folders, reading and merging the model once serves all its precisions: each is made
from a copy in memory, with the very weights that its folder would hold.
"""

import copy
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from qunlearn.precision import BITSANDBYTES, Precision
from qunlearn.quantize import change_in_place
from qunlearn.quantize.layers import check_group, quantizable_layers


def check_fits(dense: PreTrainedModel, precision: Precision) -> None:
    """Complain when a model cannot be had in a precision, before any is asked.

    Raises:
        InputError: a group or a block does not divide the rows of its matrices.
    """
    layers = quantizable_layers(dense)
    check_group(layers, precision)
    if precision.method in BITSANDBYTES:
        from qunlearn.quantize.bnb import check_blocks

        check_blocks(layers, precision.method)


def in_precision(dense: PreTrainedModel, precision: Precision) -> PreTrainedModel:
    """A copy of a float32 model, quantized and ready to be asked: on the GPU if there is one.

    Its answers are those of the folder that `quantize_checkpoint` writes, to the bit. The host
    holds two models at most: `dense`, and the copy until it is on the GPU.

    Args:
        dense: on the CPU; left as it is.
        precision: not GPTQ, which needs texts to calibrate on.

    Raises:
        InputError: the precision does not fit the model.
    """
    model = copy.deepcopy(dense)
    change_in_place(model, precision)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if precision.method in ("fp4", "nf4"):
        from qunlearn.quantize.bnb import dequantize_in_place

        dequantize_in_place(model)
    sixteen_bit = device.type == "cuda" and precision.method in ("bf16", "int8")
    _cast(model, torch.bfloat16 if sixteen_bit else torch.float32)
    if precision.method == "int8":
        _place_codes(model, device)
    placed: Any = model  # `to` is decorated
    return placed.to(device).eval()  # type: ignore[no-any-return]


def _cast(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Give the weights a type, as reading a folder does: codes and buffers stay as they are.

    The rotary frequencies are a buffer; `model.to(dtype)` would round them.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.to(dtype)


def _place_codes(model: PreTrainedModel, device: torch.device) -> None:
    """Move the int8 codes with their scales, which `model.to` would leave behind."""
    for module in model.modules():
        weight: Any = getattr(module, "weight", None)
        if isinstance(module, nn.Linear) and weight.dtype == torch.int8:
            module.weight = weight.to(device)
