"""What every GPTQ package is given and what its folder looks like afterwards.

The packages differ in what they write beside the weights: times, temporary paths, settings of
their own, tokenizer files of another version. A finished folder has the weights as they come and
everything else from the checkpoint that was quantized.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from qunlearn.models.checkpoints import check_checkpoint, is_adapter
from qunlearn.models.layers import quantizable_layers
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json

DAMPING = 0.01
"""Added to the Hessian's diagonal, as a share of its mean: Frantar et al. (2023)."""
PLAIN = {"damp_percent": DAMPING, "desc_act": False, "sym": True}
"""GPTQ as published, without the later orders of columns."""
CARRIED = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "chat_template*",
    "generation_config.json",
)


def described_by(source: Path, base: Path | None) -> Path:
    """The folder with the config and tokenizer of what is quantized: `base` for an adapter.

    Raises:
        InputError: an adapter without its base, or a bad checkpoint.
    """
    if is_adapter(source):
        if base is None:
            raise InputError(f"{source}: a LoRA adapter; give the checkpoint it belongs to as base")
        source = base
    check_checkpoint(source)
    return source


def layers_of(folder: Path) -> dict[str, nn.Linear]:
    """The layers to quantize of a checkpoint, built from its config.json, without storage."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    return quantizable_layers(model)


def finish(packed: Path, source: Path, precision: Precision, package: str, folder: Path) -> None:
    """Bring together the weights that a package wrote and the rest of the checkpoint.

    Args:
        packed: what the package wrote; its weights are moved, all else is left behind.
        source: the dense checkpoint, or the base of the adapter, that was quantized: config and
            tokenizer come from it.
        precision: what it was quantized to.
        package: the package's name and version, e.g. `gptqmodel:7.6.0`.
        folder: receives the files.
    """
    for path in packed.glob("*.safetensors*"):
        shutil.copyfile(path, folder / path.name)  # not its mode, which may be private
    quantization = {
        "quant_method": "gptq",
        "bits": precision.bits,
        "group_size": precision.group,
        **PLAIN,
        "checkpoint_format": "gptq",
        "pack_dtype": "int32",
        "lm_head": False,
        "meta": {"quantizer": [package]},
    }
    config = read_json(source / "config.json") | {"dtype": "float32"}  # embeddings, norms, head
    write_json(folder / "config.json", config | {"quantization_config": quantization})
    write_json(folder / "quantize_config.json", quantization)
    for pattern in CARRIED:
        for path in source.glob(pattern):
            shutil.copyfile(path, folder / path.name)
