"""llama.cpp's block types, as GGUF files hold them: Q2_K to Q6_K, Q4_0, Q8_0, IQ4_NL, MXFP4, NVFP4.

libgguf quantizes, without an importance matrix; it is llama.cpp's reference code. All quantized
matrices get one type, where llama.cpp's own mixtures, such as Q4_K_M, give some of them more bits.
A folder holds the dequantized weights.

A block holds codes and scales, and in a K-quant some weights share a scale and a float minimum. So
its points are `minimum + code * scale`, or a scale times the levels of a codebook. They are read
off two copies of the packed matrix whose codes are all the lowest or all the highest. Rounding a
matrix to its own points finds libgguf's codes but for at most 1 in 100 (Q8_0, whose scale libgguf
rounds to float16 only after it has rounded to it; the others a few near ties).

On the *fixed* grid of an update small steps seem lost: most of these types search for the scales
that fit W best, so that W lies off the borders between its points. As shipped, W + d has scales of
its own, and small updates arrive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from qunlearn.quantize.grids import Grid

_E2M1 = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
E2M1 = (*(-level for level in reversed(_E2M1)), 0.0, *_E2M1)
"""The levels of 4-bit floats (OCP Microscaling specification 1.0); two codes stand for 0."""
IQ4_NL = (
    *(-127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0),
    *(1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0, 113.0),
)
"""The levels of IQ4_NL: none is 0."""


@dataclass(frozen=True)
class Block:
    """How a type packs the weights of a row (llama.cpp, ggml-common.h)."""

    bits: int  # of a code
    weights: int  # a block
    size: int  # its bytes
    shared: int  # neighbouring weights with one scale
    codes: tuple[int, int]  # which of the bytes hold the codes: first, and the one after the last
    levels: tuple[float, ...] = ()  # what codes stand for; empty: evenly spaced
    lowest: int = 0x00  # a byte of nothing but the lowest codes
    highest: int = 0xFF  # and of the highest


TYPES = {
    "q2_k": Block(2, 256, 84, 16, (16, 80)),
    "q3_k": Block(3, 256, 110, 16, (0, 96)),
    "q4_k": Block(4, 256, 144, 32, (16, 144)),
    "q5_k": Block(5, 256, 176, 32, (16, 176)),
    "q6_k": Block(6, 256, 210, 16, (0, 192)),
    "q4_0": Block(4, 32, 18, 32, (2, 18)),
    "q8_0": Block(8, 32, 34, 32, (2, 34), lowest=0x80, highest=0x7F),
    "iq4_nl": Block(4, 32, 18, 32, (2, 18), IQ4_NL),
    "mxfp4": Block(4, 32, 17, 32, (1, 17), E2M1, lowest=0xFF, highest=0x77),
    "nvfp4": Block(4, 64, 36, 16, (4, 36), E2M1, lowest=0xFF, highest=0x77),
}


class Ggml(Method):
    """One type for all matrices.

    Args:
        name: a key of TYPES.
    """

    library = "libgguf"
    speed = 4e6  # of the slowest, IQ4_NL; Q4_K has 1e7, Q4_0 more than 1e8
    note = "{library}: every quantized matrix in one type of GGUF, without an importance matrix."
    warnings = ("Keep the float32 weights: a cast to 16 bits moves them off their grid.",)

    def __init__(self, name: str) -> None:
        form = TYPES[name]
        self.name = self.form = name  # type: ignore[misc]  # one class, an instance a type
        self.bits, self.block = form.bits, form.weights  # type: ignore[misc]
        self.scheme = (  # type: ignore[misc]
            f"GGUF's {name.upper()}: blocks of {form.weights} weights, one scale for "
            f"{form.shared}; {8 * form.size / form.weights:g} bits a weight in a GGUF file"
        )

    def shipped_bits(self, precision: Precision) -> float:
        """Of a GGUF file."""
        return 8 * TYPES[self.name].size / TYPES[self.name].weights

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> PreTrainedModel:
        """The dense model, its layers quantized and dequantized by libgguf."""
        for layer in layers.values():
            weight = layer.weight.data
            weight.copy_(self._dequantize(self._quantize(weight), weight))
        return model

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """The points that the scales of the packed matrix leave to its codes."""
        from qunlearn.quantize.grids import CodebookGrid, OffsetGrid

        form, packed = TYPES[self.name], self._quantize(weight)
        codes = packed.reshape(len(weight), -1, form.size)[..., slice(*form.codes)]
        ends = []
        for byte in (form.lowest, form.highest):
            codes[:] = byte
            ends.append(self._dequantize(packed, weight)[:, :: form.shared])
        low, high = ends
        if not form.levels:
            steps = (high - low).abs() / (2**form.bits - 1)
            return OffsetGrid(steps, 2**form.bits - 1, low.minimum(high))
        scales = (high - low) / (form.levels[-1] - form.levels[0])
        return CodebookGrid(scales.view(-1, 1), form.levels)

    def _quantize(self, weight: Tensor) -> Any:
        """The packed rows as a numpy array, [out, bytes]."""
        import libgguf  # type: ignore[import-not-found, import-untyped, unused-ignore]

        kind = libgguf.GGMLQuantizationType[self.name.upper()]
        return libgguf.quantize_rows(weight.float().cpu().numpy(), kind)

    def _dequantize(self, packed: Any, like: Tensor) -> Tensor:
        """[out, in], float32."""
        import libgguf
        import torch

        kind = libgguf.GGMLQuantizationType[self.name.upper()]
        rows = libgguf.dequantize_rows(packed, kind, n_per_row=like.shape[1])
        return torch.from_numpy(rows).to(like.device)


METHODS = tuple(map(Ggml, TYPES))
