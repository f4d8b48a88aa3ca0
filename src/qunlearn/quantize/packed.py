"""Reading GPTQ checkpoints one matrix at a time, without the library that wrote them.

GPTQ's first format stores a layer as four tensors, and its 32-bit words hold the codes as a stream
of bits from the low end up, along the inputs (`qweight`) or the outputs (`qzeros`):

| tensor | shape | |
|---|---|---|
| `qweight` | [in * bits / 32, out] int32 | codes 0 .. 2^bits - 1 |
| `qzeros` | [groups, out * bits / 32] int32 | zero points, stored less 1 |
| `scales` | [groups, out] float16 | |
| `g_idx` | [in] int32 | each input's group |

With 3 bits a code can lie across two words. gptqmodel takes seconds to import and turns whole
checkpoints into dense ones on disk; this takes one matrix into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qunlearn.models.checkpoints import (
    architecture,
    check_checkpoint,
    check_complete,
    read_tensors,
    tensor_files,
)
from qunlearn.quantize.grids import UniformGrid
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GENERATION = "generation_config.json"
WORD = 32
PARTS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A quantized weight matrix: `code * scale`, with one scale for some neighbours of a row."""

    codes: Tensor  # [out, in] int16, signed: the zero point is taken off
    scales: Tensor  # [out, in / group] float32; the float16 values that are stored
    bits: int  # a code

    def rows(self, chosen: slice) -> PackedMatrix:
        """Some of its rows."""
        return PackedMatrix(self.codes[chosen], self.scales[chosen], self.bits)

    def grid(self) -> UniformGrid:
        """All points that the codes could stand for."""
        half = 2 ** (self.bits - 1)
        return UniformGrid(self.scales, -half, half - 1)

    def dense(self) -> Tensor:
        """`code * scale`, [out, in], float32."""
        return self.grid().values(self.codes.float())


def read_matrix(folder: Path, name: str, precision: Precision) -> PackedMatrix:
    """Read the layer with a module path, e.g. `model.layers.0.mlp.up_proj`, of a packed checkpoint.

    Raises:
        InputError: the folder is of another precision or has no such layer, or the layer is
            asymmetric or has its inputs in another order.
    """
    bits, zero = precision.bits, 2 ** (precision.bits - 1)
    words = read_tensors(folder, [f"{name}.{part}" for part in PARTS])
    qweight, qzeros, scales, g_idx = words.values()
    group = g_idx.numel() // len(scales)
    held = read_json(folder / "config.json")["quantization_config"]["bits"]
    if (held, group) != (bits, precision.group):
        raise InputError(
            f"{folder}: holds {held} bits in groups of {group}; quantize to {precision.name}"
        )
    ordered = torch.equal(g_idx.long(), torch.arange(g_idx.numel()) // group)
    if not ordered or bool((_unpack(qzeros.T, bits) + 1 != zero).any()):
        raise InputError(
            f"{folder}: {name} is asymmetric or reordered; quantize with sym=True, desc_act=False"
        )
    codes = (_unpack(qweight, bits) - zero).T.to(torch.int16).contiguous()
    return PackedMatrix(codes, scales.T.float().contiguous(), bits)


def load_packed(
    folder: Path, precision: Precision, dtype: torch.dtype, device: torch.device
) -> PreTrainedModel:
    """Read a packed checkpoint as a dense model, its points rounded to `dtype`.

    Raises:
        InputError: as `read_matrix`, or weights are absent.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, GenerationConfig

    check_checkpoint(folder)
    config = architecture(folder)
    del config.quantization_config
    names = list(tensor_files(folder))
    layers = [name.removesuffix(".qweight") for name in names if name.endswith(".qweight")]
    others = [name for name in names if name.rpartition(".")[2] not in PARTS]
    tensors = {
        f"{layer}.weight": read_matrix(folder, layer, precision).dense().to(dtype)
        for layer in layers
    }
    tensors |= {name: value.to(dtype) for name, value in read_tensors(folder, others).items()}
    loaded: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=tensors, dtype=dtype, output_loading_info=True
    )
    model, info = loaded
    check_complete(folder, info)
    if (folder / GENERATION).exists():
        # Else it would be made from config.json, in which training may have turned the cache off.
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model.to(device)  # type: ignore[no-any-return]


def _unpack(words: Tensor, bits: int) -> Tensor:
    """[count * bits / 32, columns] words -> [count, columns] int64 codes."""
    count = len(words) * WORD // bits
    first = torch.arange(count) * bits
    low = words.long()[first // WORD] & 0xFFFFFFFF
    high = words.long()[(first + bits - 1) // WORD]  # the same word, unless the code crosses over
    codes: Tensor = ((low | high << WORD) >> (first % WORD)[:, None]) & (2**bits - 1)
    return codes
