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

from qunlearn.models.checkpoints import check_checkpoint, check_complete
from qunlearn.models.weights import read_tensors, tensor_files
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GENERATION = "generation_config.json"
WORD = 32
PARTS = ("qweight", "qzeros", "scales", "g_idx")


@dataclass(frozen=True)
class PackedMatrix:
    """A quantized weight matrix: `code * scale`, with one scale for `group` inputs of a row.

    Attributes:
        codes: [out, in] int16, signed: the zero point is taken off.
        scales: [out, in / group] float32; the float16 values that are stored.
        group: neighbouring weights of a row that share a scale.
    """

    codes: Tensor
    scales: Tensor
    group: int

    def dense(self) -> Tensor:
        """`code * scale`, [out, in], float32."""
        return self.codes.float() * self.scales.repeat_interleave(self.group, dim=1)


def read_matrix(folder: Path, name: str) -> PackedMatrix:
    """Read one layer of a packed GPTQ checkpoint, whole or in shards.

    Args:
        folder: the checkpoint.
        name: the layer's module path, e.g. `model.layers.0.mlp.up_proj`.

    Raises:
        InputError: the folder holds no GPTQ checkpoint of the first format, has no such layer, or
            the layer is asymmetric or has its inputs in another order than the weights.
    """
    bits = stored_bits(folder)
    words = read_tensors(folder, [f"{name}.{part}" for part in PARTS])
    qweight, qzeros, scales, g_idx = (words[f"{name}.{part}"] for part in PARTS)
    inputs, groups = g_idx.numel(), len(scales)
    group = inputs // groups
    if not torch.equal(g_idx.long(), torch.arange(inputs) // group):
        raise InputError(
            f"{folder}: {name} has its inputs reordered; quantize it with desc_act=False"
        )
    zero = 2 ** (bits - 1)
    if bool((_unpack(qzeros.T, bits) + 1 != zero).any()):
        raise InputError(f"{folder}: {name} is asymmetric; quantize it with sym=True")
    codes = (_unpack(qweight, bits) - zero).T.to(torch.int16).contiguous()
    return PackedMatrix(codes, scales.T.float().contiguous(), group)


def load_packed(folder: Path) -> PreTrainedModel:
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
    tensors = {f"{layer}.weight": read_matrix(folder, layer).dense() for layer in layers}
    tensors |= {name: value.float() for name, value in read_tensors(folder, others).items()}
    loaded: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
        None, config=config, state_dict=tensors, dtype=torch.float32, output_loading_info=True
    )
    model, info = loaded
    check_complete(folder, info)
    if (folder / GENERATION).exists():
        # Else it would be made from config.json, in which training may have turned the cache off.
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
    return model.eval()  # type: ignore[no-any-return]


def stored_bits(folder: Path) -> int:
    """Bits a weight of a GPTQ checkpoint of the first format, from its config.json.

    Raises:
        InputError: `folder` holds something else.
    """
    quantization = read_json(folder / "config.json").get("quantization_config", {})
    method = quantization.get("quant_method")
    form = quantization.get("checkpoint_format", "gptq")
    if method != "gptq" or form != "gptq":
        held = f"a {method} checkpoint in the format {form}" if method else "a dense checkpoint"
        raise InputError(f"{folder}: {held}, not GPTQ's first format; quantize it again")
    return int(quantization["bits"])


def check_bits(folder: Path, precision: Precision) -> None:
    """Complain about a folder of another number of bits.

    Raises:
        InputError: it has, or holds something else.
    """
    if (bits := stored_bits(folder)) != precision.bits:
        raise InputError(
            f"{folder}: the weights have {bits} bits, so they are not {precision.name}"
        )


def check_matrix(folder: Path, name: str, matrix: PackedMatrix, precision: Precision) -> None:
    """Complain about a matrix of another number of bits or another group.

    Raises:
        InputError: so it is.
    """
    bits = stored_bits(folder)
    if (bits, matrix.group) != (precision.bits, precision.group):
        raise InputError(
            f"{folder}: {name} has {bits} bits in groups of {matrix.group}, which is not "
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
