"""Which matrices are quantized, and what unlearning did to each, from safetensors alone."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from qunlearn.models import checkpoints
from qunlearn.models.checkpoints import architecture, check_checkpoint, is_adapter, tensor_files
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

UNSUPPORTED = (
    *("use_rslora", "use_dora", "use_qalora", "rank_pattern", "alpha_pattern", "modules_to_save"),
    *("fan_in_fan_out", "lora_bias", "layer_replication", "target_parameters"),
)
"""What in an adapter_config.json would make its update another one than `lora_alpha / r * B A`."""


@dataclass(frozen=True, eq=False)
class Update:
    """What unlearning added to one matrix.

    W + d is the unlearned matrix, to the rounding of float32 where one of the two is more than
    twice the other.
    """

    name: str  # module path, e.g. `model.layers.0.mlp.up_proj`
    layer: int  # the first integer of the path; -1 without one
    module: str  # the last part of the path, e.g. `up_proj`
    weight: Tensor  # the target's matrix W, [out, in], float32
    delta: Tensor  # the update d, [out, in], float32


def quantizable_layers(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Module path -> layer, for every linear layer but the output head.

    Embeddings, norms and lm_head keep their precision: bitsandbytes and GPTQ leave them out by
    default, and so did the paper.
    """
    head = output_head(model)
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not head
    }


def output_head(model: PreTrainedModel) -> nn.Module | None:
    """The layer that turns hidden states into logits."""
    head: nn.Module | None = model.get_output_embeddings()
    return head


def quantized_layers(target: Path) -> dict[str, nn.Linear]:
    """Module path -> layer without storage, for every matrix that is quantized, in order.

    They come from the architecture in config.json; an InputError as `check_checkpoint`.
    """
    check_checkpoint(target)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(architecture(target))
    return quantizable_layers(model)


def updates(target: Path, model: Path) -> Iterator[Update]:
    """The updates of all quantized matrices, each read when it is needed.

    Files are opened anew for each matrix, so that only one matrix's pages are in memory. A caller
    that wants no more than that lets go of an update before it asks for the next.

    Args:
        target: the checkpoint that unlearning started from.
        model: an unlearned checkpoint, whole or in shards, or a LoRA adapter of `target`, whose
            update is `lora_alpha / r * B A` (Hu et al. 2022) in float32. What an adapter does not
            touch has an update of 0. A diverged model has no weights and is refused.

    Raises:
        InputError: a bad checkpoint, an adapter with features that change the formula, or weights
            that do not belong to `target`; some only when their matrix is read.
    """
    names, scale = list(quantized_layers(target)), None
    if not is_adapter(model):
        check_checkpoint(model)
    else:
        scale, stored = _scale(model / checkpoints.ADAPTER_CONFIG), tensor_files(model)
        if not any(factor in stored for name in names for factor in _factors(name)):
            raise InputError(
                f"{model}: touches no matrix of the target; give the target's own adapter"
            )
    return map(partial(_read_update, target, model, scale), names)


def check_adapter(target: Path, adapter: Path) -> Iterator[str]:
    """Compare a LoRA adapter with the target that it should be of.

    Yields:
        A warning where its config names another base; only the name tells two bases of one shape
        apart.

    Raises:
        InputError: names or shapes of its matrices are not the target's.
    """
    layers, stored = quantized_layers(target), set(tensor_files(adapter))
    updates(target, adapter)
    for name, layer in layers.items():
        if _factors(name)[0] in stored:
            down, up = (_read_matrix(adapter, factor) for factor in _factors(name))
            found, own = [len(up), down.shape[1]], [layer.out_features, layer.in_features]
            if found != own:
                raise InputError(
                    f"{adapter}: is of another base: {name} is {found}, and {own} in {target}; "
                    "give the checkpoint that the adapter was trained on"
                )
    strange = [name for name in stored if ".layers." in name]
    strange = sorted({*strange} - {factor for name in layers for factor in _factors(name)})
    if strange:
        raise InputError(
            f"{adapter}: is of another base: {target} has nothing for {strange[0]}; give the "
            "checkpoint that the adapter was trained on"
        )
    base = read_json(adapter / checkpoints.ADAPTER_CONFIG).get("base_model_name_or_path")
    if base and Path(base).name != target.name:
        yield f"{adapter}: its adapter_config.json names the base {base}, and not {target}"


def update_norm(target: Path, model: Path) -> float:
    """Frobenius norm of the update over all quantized matrices; an InputError as `updates`."""
    # Through map, which lets go of each update before the next is read.
    return math.hypot(*map(lambda update: frobenius_norm(update.delta), updates(target, model)))


def frobenius_norm(matrix: Tensor) -> float:
    """The norm of [out, in] with sums in float64, without a float64 copy of all of it."""
    pieces = torch.split(matrix, max(2**16 // matrix.shape[1], 1))
    return math.hypot(*(float(torch.linalg.vector_norm(p, dtype=torch.float64)) for p in pieces))


def _read_update(target: Path, model: Path, scale: float | None, name: str) -> Update:
    """The update of one matrix: of an adapter, `scale * B A`; else the difference."""
    weight = _read_matrix(target, f"{name}.weight")
    if scale is None:
        found = _read_matrix(model, f"{name}.weight")
    elif _factors(name)[0] in tensor_files(model):
        down, up = (_read_matrix(model, factor) for factor in _factors(name))
        found = up @ down
    else:
        found = torch.zeros_like(weight)
    if found.shape != weight.shape:
        raise InputError(
            f"{model}: {name} is {list(found.shape)}, the target's is {list(weight.shape)}; "
            "give a model that was unlearned from this target"
        )
    delta = found - weight if scale is None else found.mul_(scale)
    layer = re.search(r"\.(\d+)\.", name)
    return Update(name, int(layer[1]) if layer else -1, name.rpartition(".")[2], weight, delta)


def _read_matrix(folder: Path, key: str) -> Tensor:
    """A matrix of a checkpoint or adapter, whole or in shards, in float32."""
    value = checkpoints.read_tensors(folder, [key])[key]
    if not value.is_floating_point():
        raise InputError(f"{folder}: {key} is quantized already; give the dense checkpoint")
    return value.float()


def _factors(name: str) -> tuple[str, str]:
    """The tensors of an adapter that hold A and B of a matrix."""
    return f"base_model.model.{name}.lora_A.weight", f"base_model.model.{name}.lora_B.weight"


def _scale(path: Path) -> float:
    """`lora_alpha / r` of an adapter that has no other ingredients."""
    config = read_json(path)
    if config.get("peft_type") != "LORA":
        raise InputError(f"{path}: peft_type is not LORA; give a LoRA adapter or merge it first")
    if used := [key for key in UNSUPPORTED if config.get(key)]:
        raise InputError(f"{path}: {used[0]} is not supported; merge the adapter into a checkpoint")
    return float(config["lora_alpha"] / config["r"])
