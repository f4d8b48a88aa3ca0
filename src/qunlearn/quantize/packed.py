"""Reading GPTQ checkpoints one matrix at a time, without the library that wrote them.

GPTQ's first format stores a layer as four tensors, and its 32-bit words hold the codes as a stream
of bits from the low end up, along the inputs (`qweight`) or the outputs (`qzeros`):

| tensor | shape | |
|---|---|---|
| `qweight` | [in * bits / 32, out] int32 | codes 0 .. 2^bits - 1 |
| `qzeros` | [groups, out * bits / 32] int32 | zero points, stored less 1 |
| `scales` | [groups, out] float16 | |
| `g_idx` | [in] int32 | each input's group |

With 3 bits a code can lie across two words; with 2, 4 and 8 none does. gptqmodel takes seconds to
import and turns whole checkpoints into dense ones on disk; this takes one matrix into memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qunlearn.models.checkpoints import check_checkpoint, check_complete, read_tensors, tensor_files
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
    """A quantized weight matrix: `code * scale`, with one scale for some neighbours of a row.

    Attributes:
        codes: [out, in] int16, signed: the zero point is taken off.
        scales: [out, in / group] float32; the float16 values that are stored.
        bits: bits a code.
    """

    codes: Tensor
    scales: Tensor
    bits: int

    def rows(self, chosen: slice) -> PackedMatrix:
        """Some of its rows."""
        return PackedMatrix(self.codes[chosen], self.scales[chosen], self.bits)

    def grid(self) -> UniformGrid:
        """All points that the codes could stand for."""
        half = 2 ** (self.bits - 1)
        return UniformGrid(self.scales, -half, half - 1)

    def dense(self) -> Tensor:
        """`code * scale`, [out, in], float32."""
        group = self.codes.shape[1] // self.scales.shape[1]
        return self.codes.float() * self.scales.repeat_interleave(group, dim=1)


def read_matrix(folder: Path, name: str, precision: Precision) -> PackedMatrix:
    """Read one layer of a packed GPTQ checkpoint, whole or in shards.

    Args:
        folder: the checkpoint.
        name: the layer's module path, e.g. `model.layers.0.mlp.up_proj`.
        precision: what it was quantized to.

    Raises:
        InputError: the folder holds no GPTQ checkpoint of the first format and this precision, has
            no such layer, or the layer is asymmetric or has its inputs in another order.
    """
    bits = precision.bits
    words = read_tensors(folder, [f"{name}.{part}" for part in PARTS])
    qweight, qzeros, scales, g_idx = (words[f"{name}.{part}"] for part in PARTS)
    inputs, groups = g_idx.numel(), len(scales)
    _check_quantized(folder, precision, inputs // groups)
    if not torch.equal(g_idx.long(), torch.arange(inputs) // (inputs // groups)):
        raise InputError(
            f"{folder}: {name} has its inputs reordered; quantize it with desc_act=False"
        )
    zero = 2 ** (bits - 1)
    if bool((_unpack(qzeros.T, bits) + 1 != zero).any()):
        raise InputError(f"{folder}: {name} is asymmetric; quantize it with sym=True")
    codes = (_unpack(qweight, bits) - zero).T.to(torch.int16).contiguous()
    return PackedMatrix(codes, scales.T.float().contiguous(), bits)


def load_packed(folder: Path, precision: Precision) -> PreTrainedModel:
    """Read a packed checkpoint as a dense float32 model, in `eval` mode on the CPU.

    Raises:
        InputError: as `read_matrix`, or weights are absent.
    """
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig, GenerationConfig

    check_checkpoint(folder)
    config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
    del config.quantization_config
    names = list(tensor_files(folder))
    layers = [name.removesuffix(f".{PARTS[0]}") for name in names if name.endswith(f".{PARTS[0]}")]
    others = [name for name in names if name.rpartition(".")[2] not in PARTS]
    tensors = {f"{layer}.weight": read_matrix(folder, layer, precision).dense() for layer in layers}
    tensors |= {name: value.float() for name, value in read_tensors(folder, others).items()}
    loaded: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True
    )
    model, info = loaded
    check_complete(folder, info)
    if (folder / GENERATION).exists():
        # Else it would be made from config.json, in which training may have turned the cache off.
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model  # type: ignore[no-any-return]


def _check_quantized(folder: Path, precision: Precision, group: int) -> None:
    quantization = read_json(folder / "config.json").get("quantization_config", {})
    held = [quantization.get("quant_method"), quantization.get("checkpoint_format", "gptq")]
    if held != ["gptq", "gptq"]:
        raise InputError(
            f"{folder}: quantized by {held[0]} in the format {held[1]}, not GPTQ's first format; "
            "quantize it again"
        )
    if (bits := quantization["bits"], group) != (precision.bits, precision.group):
        raise InputError(
            f"{folder}: the weights have {bits} bits in groups of {group}, which is not "
            f"{precision.name}; quantize the model to {precision.name}"
        )


def _unpack(words: Tensor, bits: int) -> Tensor:
    """[count * bits / 32, columns] words -> [count, columns] int64 codes."""
    count = len(words) * WORD // bits
    first = torch.arange(count) * bits
    low = words.long()[first // WORD] & 0xFFFFFFFF
    high = words.long()[(first + bits - 1) // WORD]  # the same word, unless the code crosses over
    codes: Tensor = ((low | high << WORD) >> (first % WORD)[:, None]) & (2**bits - 1)
    return codes
