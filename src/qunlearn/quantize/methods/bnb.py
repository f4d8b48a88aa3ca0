"""int8, fp4 and nf4 by bitsandbytes itself, in the format that it and transformers reload.

A 4-bit layer must be saved and dequantized *before* its first forward pass. On CPUs with
AVX512-BF16 that pass repacks the codes and rounds the block maxima to bfloat16 in place, and what
is saved or dequantized afterwards is silently wrong (relative errors of 0.2 to 1 in the logits).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision, Recipe
from qunlearn.run.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import BitsAndBytesConfig, PreTrainedModel

    from qunlearn.quantize.grids import Grid

BLOCK = 64  # weights that share a scale in 4 bits
OUTLIER_THRESHOLD = 6.0
"""LLM.int8(): activations beyond it are multiplied in 16 bits, as the method's authors set it."""
_INSTALL = ("transformers", "bitsandbytes", "accelerate")


class BitsAndBytes(Method):
    """What the three methods share: their library, and layers that take the place of dense ones."""

    packages = frozenset({"bitsandbytes"})
    library = "bitsandbytes"

    def parse(self, name: str) -> Precision | None:
        """The method's own name alone."""
        return Precision(name, self.name, 8 if self.live else 4) if name == self.name else None

    def footnote(self, quantization: Mapping[str, Any]) -> str:
        """One sentence for all three."""
        return (
            "bitsandbytes: 4 bits in blocks of 64 without double quantization; int8 is LLM.int8() "
            f"with a threshold of {OUTLIER_THRESHOLD:g}."
        )

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> str:
        """Replace the layers of a dense model on the CPU by bitsandbytes' quantized ones.

        The codes come from the weights at hand, in the precision they have; nothing passes through
        a 16-bit copy or the disk first (LLM.int8() itself rounds to float16). They are computed on
        the CPU, so a checkpoint does not depend on the GPU that evaluates it.
        """
        make = _int8 if self.live else _four_bit
        for name, layer in layers.items():
            model.set_submodule(name, make(layer, self.name))
        model.config.quantization_config = _config(model, self.name)
        return "bitsandbytes; the rest in float32"


class Int8(BitsAndBytes):
    """LLM.int8() (Dettmers et al. 2022)."""

    name = form = "int8"
    about = "LLM.int8() by bitsandbytes"
    live = True
    speed = 1e8
    sixteen_bit = True
    evaluated = "live, since LLM.int8() rounds activations too"
    recipe = Recipe(_INSTALL)

    def stored_bits(self, precision: Precision) -> float:
        """8; a scale a row is not worth counting."""
        return 8.0

    def describe(self, precision: Precision) -> str:
        """One sentence."""
        return "LLM.int8(): one scale a row; activations are rounded as well"

    def label(self, precision: Precision) -> str:
        """In small letters, as the type is written."""
        return precision.name

    def load(self, folder: Path, precision: Precision) -> PreTrainedModel:
        """Onto the GPU by transformers itself; such a model is not to be moved."""
        import torch

        from qunlearn.models.checkpoints import load_model

        half = torch.cuda.is_available()
        return load_model(folder, torch.bfloat16 if half else torch.float32)

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """Of the weights; activations have theirs while the model runs."""
        from qunlearn.quantize.grids import Int8Grid

        return Int8Grid(weight)


class FourBit(BitsAndBytes):
    """NF4 (Dettmers et al. 2023) or bitsandbytes' own FP4, in blocks of 64.

    Args:
        name: `nf4` or `fp4`.
    """

    speed = 3e7
    evaluated = "on the weights dequantized to float32 right after loading"
    recipe = Recipe(
        _INSTALL,
        Recipe.code
        + """
# At once, before any forward pass; the numbers above are of these weights.
import torch

model = model.dequantize(dtype=torch.float32)
""",
        (
            "**Warning.** Save or dequantize this model *before* its first forward pass. On CPUs "
            "with AVX512-BF16 that pass repacks the 4-bit weights in place, and what is saved or "
            "dequantized afterwards is silently wrong.",
        ),
    )

    def __init__(self, name: str) -> None:
        self.name = self.form = name  # type: ignore[misc]  # two instances of one class
        self.about = f"{name.upper()} by bitsandbytes"  # type: ignore[misc]

    def stored_bits(self, precision: Precision) -> float:
        """The code, and a 32-bit scale a block."""
        return 4 + 32 / BLOCK

    def describe(self, precision: Precision) -> str:
        """How the scales are shared."""
        return f"one scale a block of {BLOCK} weights, no double quantization"

    def label(self, precision: Precision) -> str:
        """`NF4`."""
        return precision.name.upper()

    def check(self, layers: Mapping[str, nn.Linear], precision: Precision) -> None:
        """Blocks must fill every row: bitsandbytes would read back other weights than it wrote.

        Raises:
            InputError: names the first layer at fault.
        """
        for name, layer in layers.items():
            if layer.in_features % BLOCK:
                raise InputError(
                    f"precision '{precision.name}': its blocks of {BLOCK} do not divide the "
                    f"{layer.in_features} inputs of {name}; use int8 or rtn4"
                )

    def load(self, folder: Path, precision: Precision) -> PreTrainedModel:
        """Dequantized at once: after a forward pass the packed weights cannot be read back."""
        import torch

        from qunlearn.models.checkpoints import load_model

        model: Any = load_model(folder, torch.float32).dequantize(dtype=torch.float32)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return model.to(device).eval()  # type: ignore[no-any-return]

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """The method's 16 levels times each block's largest weight."""
        from qunlearn.quantize.grids import FP4, NF4, CodebookGrid

        return CodebookGrid(weight, NF4 if self.name == "nf4" else FP4)


METHODS = (Int8(), FourBit("nf4"), FourBit("fp4"))


def _int8(layer: nn.Linear, method: str) -> nn.Module:
    import bitsandbytes

    bnb: Any = bitsandbytes.nn  # its annotations are partial and partly wrong
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
    import bitsandbytes

    bnb: Any = bitsandbytes.nn  # see _int8
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
    import torch
    from transformers import BitsAndBytesConfig

    from qunlearn.models.layers import output_head

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
