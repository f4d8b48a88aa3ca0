"""From a trained checkpoint to what would be shipped, and back to a model that can be asked.

| method | folder | evaluated |
|---|---|---|
| bf16 | every weight rounded to bfloat16 | float32 arithmetic on CPU, bfloat16 on CUDA |
| rtn | float32 points of the grid, as an ordinary checkpoint | float32 |
| fp4, nf4 | bitsandbytes' own format | dequantized right after loading, float32 |
| int8 | bitsandbytes' own format | live, since LLM.int8() rounds activations too |
| gptq | GPTQ's first packed format, see `gptq.py` | dequantized by `packed.py`, float32 |

Linear layers are quantized; embeddings, norms and lm_head keep their float32 values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.checkpoints import is_adapter, load_dense, load_model, load_tokenizer, save_model
from qunlearn.errors import InputError
from qunlearn.files import read_json
from qunlearn.precision import BITSANDBYTES, Precision
from qunlearn.provenance import MANIFEST

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def quantize_checkpoint(
    source: Path, base: Path | None, precision: Precision, output_folder: Path
) -> dict[str, Any]:
    """Write `source` in `precision`, with its tokenizer, into `output_folder`.

    Args:
        source: a dense checkpoint, or a LoRA adapter, which is merged into `base` in float32.
        base: the checkpoint that the adapter was trained on; otherwise unused.
        precision: what to quantize to; not GPTQ, which needs texts to calibrate on.
        output_folder: receives the files; made where it is absent.

    Returns:
        Facts for the manifest: `quantized_matrices`, `storage` (what the tensors in the files
        are) and `weight_bytes` (the size of the files).

    Raises:
        InputError: a bad checkpoint, or a group size that does not fit the model.
    """
    model = load_dense(source, base)
    tokenizer = load_tokenizer(base if base is not None and is_adapter(source) else source)
    matrices, storage = change_in_place(model, precision)
    save_model(model, tokenizer, output_folder)
    return {
        "quantized_matrices": matrices,
        "storage": storage,
        "weight_bytes": sum(p.stat().st_size for p in output_folder.glob("*.safetensors")),
    }


def change_in_place(model: PreTrainedModel, precision: Precision) -> tuple[int, str]:
    """Quantize a dense float32 model on the CPU, for good.

    Returns:
        How many matrices were quantized, and what they are stored as.

    Raises:
        InputError: a group or block size does not fit the model.
    """
    return _QUANTIZERS[precision.method](model, precision)


def load_for_evaluation(
    folder: Path, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a quantized checkpoint, ready to be asked: `eval` mode, on the GPU if there is one.

    Raises:
        InputError: a bad checkpoint, an unknown precision, or not the folder's own.
    """
    method = Precision.parse(precision).method
    _check_precision(folder, precision)

    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sixteen_bit = device.type == "cuda" and method in ("bf16", "int8")
    model: Any
    if method == "gptq":
        from qunlearn.quantize.packed import load_packed, stored_bits

        if (bits := stored_bits(folder)) != Precision.parse(precision).bits:
            raise InputError(f"{folder}: the weights have {bits} bits, so they are not {precision}")
        model = load_packed(folder)
    else:
        dense = method not in BITSANDBYTES  # others are placed by transformers, or afterwards
        model = load_model(
            folder,
            torch.bfloat16 if sixteen_bit else torch.float32,
            device if dense else None,
        )
    if method in ("fp4", "nf4"):
        # At once: after a forward pass the packed weights can no longer be read back.
        model = model.dequantize(dtype=torch.float32)
    if method != "int8":  # loaded onto its device, and not to be moved
        model = model.to(device)
    return model.eval(), load_tokenizer(folder)


def _check_precision(folder: Path, precision: str) -> None:
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    if manifest.get("step") == "quantize" and manifest["settings"]["name"] != precision:
        stored = manifest["settings"]["name"]
        raise InputError(f"{folder}: holds {stored}, not {precision}; name its own precision")
    packed = "quantization_config" in read_json(folder / "config.json")
    if packed != (Precision.parse(precision).method in (*BITSANDBYTES, "gptq")):
        held = "quantized by a library" if packed else "dense"
        raise InputError(f"{folder}: the weights are {held}, so they are not {precision}")


def _round_to_bf16(model: PreTrainedModel, precision: Precision) -> tuple[int, str]:
    for weight in model.parameters():  # not the buffers, as model.bfloat16() would
        weight.data = weight.data.bfloat16()
    return 0, "bfloat16"


def _round_to_grid(model: PreTrainedModel, precision: Precision) -> tuple[int, str]:
    import torch

    from qunlearn.quantize.layers import check_group, quantizable_layers
    from qunlearn.quantize.rtn import quantize_dequantize

    layers = quantizable_layers(model)
    check_group(layers, precision)
    rounded = partial(
        quantize_dequantize,
        bits=precision.bits,
        group=precision.group,
        midrise=precision.midrise,
    )
    with torch.no_grad():
        for layer in layers.values():
            layer.weight.copy_(rounded(layer.weight))
    return len(layers), "float32 points of the grid; larger than the codes would be"


def _use_bitsandbytes(model: PreTrainedModel, precision: Precision) -> tuple[int, str]:
    from qunlearn.quantize.bnb import quantize_in_memory

    return quantize_in_memory(model, precision.method), "bitsandbytes; the rest in float32"


_QUANTIZERS: dict[str, Callable[[PreTrainedModel, Precision], tuple[int, str]]] = {
    "bf16": _round_to_bf16,
    "rtn": _round_to_grid,
    "int8": _use_bitsandbytes,
    "fp4": _use_bitsandbytes,
    "nf4": _use_bitsandbytes,
}
"""Each changes a dense model in place; returns the matrices it quantized and their storage."""
