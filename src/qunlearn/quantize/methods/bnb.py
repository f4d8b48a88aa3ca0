"""int8, fp4 and nf4 by bitsandbytes itself, in the format that it and transformers load.

A 4-bit layer must be saved and dequantized *before* its first forward pass. On CPUs with
AVX512-BF16 that pass repacks the codes and rounds the block maxima to bfloat16 in place, and what
is saved or dequantized afterwards is silently wrong (relative errors of 0.2 to 1 in the logits).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from qunlearn.quantize.grids import Grid

BLOCK = 64  # weights that share a scale in 4 bits
OUTLIER_THRESHOLD = 6.0
"""LLM.int8(): activations beyond it are multiplied in 16 bits; the authors' value."""


class BitsAndBytes(Method):
    """What the three methods share: their library, and layers that replace dense ones."""

    packages = frozenset({"bitsandbytes"})
    library = "bitsandbytes"
    dense = False
    install = ("transformers", "bitsandbytes", "accelerate")
    storage = "bitsandbytes; the rest in float32"
    note = (
        "bitsandbytes: 4 bits in blocks of 64 without double quantization; int8 is LLM.int8() "
        f"with a threshold of {OUTLIER_THRESHOLD:g}."
    )

    settings: Mapping[str, Any]  # arguments of transformers' `BitsAndBytesConfig`

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> PreTrainedModel:
        """The model with bitsandbytes' layers instead of dense ones.

        The codes are computed from float32 weights (LLM.int8() itself first rounds to float16),
        on the CPU, so that a checkpoint does not depend on a GPU.
        """
        import torch
        from transformers import BitsAndBytesConfig

        from qunlearn.models.updates import output_head

        head = output_head(model)
        kept = [name for name, module in model.named_modules() if module is head]
        changed: PreTrainedModel = type(model).from_pretrained(
            None,
            config=model.config,
            state_dict=model.state_dict(),
            quantization_config=BitsAndBytesConfig(**self.settings, llm_int8_skip_modules=kept),
            dtype=torch.float32,
            device_map={"": "cpu"},
        )
        changed.generation_config = model.generation_config
        return changed

    def load(
        self, folder: Path, precision: Precision, dtype: torch.dtype, device: torch.device
    ) -> PreTrainedModel:
        """All that is not packed in `dtype`: transformers leaves it as it was stored."""
        model = super().load(folder, precision, dtype, device)
        for weight in model.parameters():
            if weight.is_floating_point():
                weight.data = weight.data.to(dtype)
        return model


class Int8(BitsAndBytes):
    """LLM.int8() (Dettmers et al. 2022)."""

    name = form = printed = "int8"
    bits = 8
    live = True
    speed = 1e8
    stored = 8.0  # one scale per row is negligible
    settings = {"load_in_8bit": True, "llm_int8_threshold": OUTLIER_THRESHOLD}  # noqa: RUF012
    scheme = "LLM.int8(): one scale a row; activations are rounded as well"
    evaluated = "live, since LLM.int8() rounds activations too"

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """The weights' grid; activations get theirs while the model runs."""
        from qunlearn.quantize.grids import Int8Grid

        return Int8Grid(weight)


class FourBit(BitsAndBytes):
    """NF4 (Dettmers et al. 2023) or bitsandbytes' own FP4, in blocks of 64.

    Args:
        name: `nf4` or `fp4`.
    """

    speed = 3e7
    stored = 4 + 32 / BLOCK
    scheme = f"one scale a block of {BLOCK} weights, no double quantization"
    evaluated = "on the weights dequantized right after loading"
    block = BLOCK  # where blocks do not fill the rows, bitsandbytes reads back wrong weights
    loading = (
        Method.loading
        + """
# At once, before any forward pass; the numbers above are of these weights.
import torch

model = model.dequantize(dtype=torch.float32)
"""
    )
    warnings = (
        "**Warning.** Save or dequantize this model *before* its first forward pass. On CPUs "
        "with AVX512-BF16 that pass repacks the 4-bit weights in place, and what is saved or "
        "dequantized afterwards is silently wrong.",
    )

    def __init__(self, name: str) -> None:
        self.name = self.form = name  # type: ignore[misc]  # two instances of one class
        double = {"bnb_4bit_use_double_quant": False, "bnb_4bit_compute_dtype": "float32"}
        self.settings = {"load_in_4bit": True, "bnb_4bit_quant_type": name} | double

    def load(
        self, folder: Path, precision: Precision, dtype: torch.dtype, device: torch.device
    ) -> PreTrainedModel:
        """Dequantized at once: after a forward pass the packed weights cannot be read back."""
        model: Any = super().load(folder, precision, dtype, device)
        return model.dequantize(dtype=dtype)  # type: ignore[no-any-return]

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """The method's 16 levels times each block's largest weight."""
        from qunlearn.quantize.grids import FP4, NF4, CodebookGrid, block_maxima

        levels = NF4 if self.name == "nf4" else FP4
        return CodebookGrid(block_maxima(weight, BLOCK), levels)


METHODS = (Int8(), FourBit("nf4"), FourBit("fp4"))
