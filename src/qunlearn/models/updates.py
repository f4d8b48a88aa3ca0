"""The update of an unlearned model, one quantized matrix at a time, from its safetensors alone."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM

from qunlearn.models.checkpoints import check_checkpoint, is_adapter
from qunlearn.models.layers import quantizable_layers
from qunlearn.models.weights import read_tensors
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

ADAPTER_WEIGHTS = "adapter_model.safetensors"
UNSUPPORTED = (
    "use_rslora",
    "use_dora",
    "use_qalora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "lora_bias",
    "layer_replication",
    "target_parameters",
)
"""What in an adapter_config.json would make its update another one than `lora_alpha / r * B A`."""


@dataclass(frozen=True, eq=False)
class Update:
    """What unlearning added to one matrix.

    Attributes:
        name: module path, e.g. `model.layers.0.mlp.up_proj`.
        layer: the first integer of the path; -1 without one.
        module: the last part of the path, e.g. `up_proj`.
        weight: the target's matrix W, [out, in], float32.
        delta: the update d, [out, in], float32. W + d is the unlearned matrix, to the rounding of
            float32 where one of the two is more than twice the other.
    """

    name: str
    layer: int
    module: str
    weight: Tensor
    delta: Tensor


def quantized_layers(target: Path) -> dict[str, nn.Linear]:
    """Module path -> layer without storage, for every matrix that is quantized, in order.

    They come from the architecture in config.json.

    Raises:
        InputError: `target` is no checkpoint.
    """
    check_checkpoint(target)
    config = AutoConfig.from_pretrained(target, local_files_only=True)
    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(config)
    return quantizable_layers(model)


def updates(target: Path, model: Path) -> Iterator[Update]:
    """The updates of all quantized matrices, each read when it is asked for.

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
    names = list(quantized_layers(target))
    delta = _adapter_delta(model, names) if is_adapter(model) else _checkpoint_delta(model)
    return map(partial(_read_update, target, delta), names)


def update_norm(target: Path, model: Path) -> float:
    """Frobenius norm of the update over all quantized matrices together.

    Raises:
        InputError: as `updates`.
    """
    return math.hypot(*map(_delta_norm, updates(target, model)))


def frobenius_norm(matrix: Tensor) -> float:
    """The norm of [out, in] with sums in float64, without a float64 copy of all of it."""
    pieces = torch.split(matrix, max(2**16 // matrix.shape[1], 1))
    return math.hypot(*(float(torch.linalg.vector_norm(p, dtype=torch.float64)) for p in pieces))


def _delta_norm(update: Update) -> float:
    return frobenius_norm(update.delta)


Delta = Callable[[str, Tensor], Tensor]
"""From a module path and the target's matrix to its update."""


def _read_update(target: Path, delta: Delta, name: str) -> Update:
    weight = _read_weight(target, name)
    numbers = re.findall(r"(?<=\.)\d+(?=\.)", name)
    layer = int(numbers[0]) if numbers else -1
    return Update(name, layer, name.rpartition(".")[2], weight, delta(name, weight))


def _checkpoint_delta(model: Path) -> Delta:
    check_checkpoint(model)

    def delta(name: str, weight: Tensor) -> Tensor:
        unlearned = _read_weight(model, name)
        _check_shape(model, name, unlearned.shape, weight.shape)
        return unlearned - weight

    return delta


def _adapter_delta(adapter: Path, names: list[str]) -> Delta:
    config_path = adapter / "adapter_config.json"
    config = read_json(config_path)
    rank, alpha = _formula(config_path, config)
    path = adapter / ADAPTER_WEIGHTS
    if not path.exists():
        raise InputError(f"{adapter}: adapter without {ADAPTER_WEIGHTS}; train it again")
    stored = _keys(path)
    if not any(_lora_key(name, factor) in stored for name in names for factor in "AB"):
        raise InputError(f"{path}: touches no matrix of the target; give the target's own adapter")

    def delta(name: str, weight: Tensor) -> Tensor:
        a, b = (_lora_key(name, factor) for factor in "AB")
        if a not in stored and b not in stored:
            return torch.zeros_like(weight)
        down, up = _read(path, a).float(), _read(path, b).float()
        _check_shape(path, name, (*up.shape[:1], *down.shape[1:]), weight.shape)
        return (up @ down).mul_(alpha / rank)

    return delta


def _formula(path: Path, config: Any) -> tuple[int, float]:
    """The rank and `lora_alpha` of an adapter that has no other ingredients."""
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise InputError(f"{path}: peft_type is not LORA; give a LoRA adapter or merge it first")
    used = [key for key in UNSUPPORTED if config.get(key)]
    if used:
        raise InputError(f"{path}: {used[0]} is not supported; merge the adapter into a checkpoint")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not isinstance(rank, int) or rank < 1 or not isinstance(alpha, int | float):
        raise InputError(f"{path}: r or lora_alpha is not a number; train the adapter again")
    return rank, alpha


def _lora_key(name: str, factor: str) -> str:
    return f"base_model.model.{name}.lora_{factor}.weight"


def _check_shape(
    source: Path, name: str, found: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    if found != expected:
        raise InputError(
            f"{source}: {name} is {list(found)}, the target's is {list(expected)}; "
            "give a model that was unlearned from this target"
        )


def _read_weight(folder: Path, name: str) -> Tensor:
    """A matrix of a checkpoint, whole or in shards, in float32."""
    key = f"{name}.weight"
    value = read_tensors(folder, [key])[key]
    if not value.is_floating_point():
        raise InputError(f"{folder}: {key} is quantized already; give the dense checkpoint")
    return value.float()


def _read(path: Path, key: str) -> Tensor:
    try:
        with safe_open(path, framework="pt") as file:
            if key not in file.keys():  # noqa: SIM118 (safe_open is no mapping)
                raise InputError(f"{path}: no tensor {key}; the file belongs to another model")
            value: Tensor = file.get_tensor(key)
    except SafetensorError as error:
        raise _damaged(path, error) from error
    return value


def _keys(path: Path) -> set[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return set(file.keys())
    except SafetensorError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: SafetensorError) -> InputError:
    return InputError(f"{path}: damaged safetensors file ({error}); copy it again")
