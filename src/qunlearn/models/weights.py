"""The files that hold a checkpoint's weights, and their tensors read one at a time.

`weight_files` alone says which files these are. Nothing here imports torch before a tensor is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.run.errors import InputError, short
from qunlearn.run.files import read_json

if TYPE_CHECKING:
    import torch

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, one or the shards of its index, or of an adapter.

    Raises:
        InputError: there are none, a shard is not beside its index, or there are two sets:
            transformers would read `model.safetensors` and other programs the shards.
    """
    wanted = ADAPTER_WEIGHTS if (folder / ADAPTER_CONFIG).exists() else WEIGHTS
    whole, index = folder / wanted, folder / INDEX
    if not index.exists():
        if not whole.exists():
            raise InputError(
                f"{folder}: no {wanted}; pickled weights are not read, since they can run code: "
                "convert them to safetensors"
            )
        return [whole]
    content = read_json(index)
    named = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(named, dict) or not named:
        raise InputError(f"{index}: no 'weight_map' that names shards; replace the file")
    for name in named.values():
        plain = isinstance(name, str) and name.endswith(".safetensors") and Path(name).name == name
        if not plain or not (folder / name).exists():
            raise InputError(
                f"{index}: names {short(name)} as a shard, which is not a safetensors file beside "
                "it; copy the whole checkpoint again"
            )
    if whole.exists() and wanted not in named.values():
        raise InputError(
            f"{folder}: two sets of weights, {wanted} and the shards of {INDEX}; remove the set "
            "that is not the model's"
        )
    return [folder / name for name in sorted(set(named.values()))]


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor name -> the safetensors file that holds it, by the files' headers.

    Raises:
        InputError: as `weight_files`, or a file is longer or shorter than its header says.
    """
    found: dict[str, Path] = {}
    for file in weight_files(folder):
        with _open(file) as stream:
            found |= dict.fromkeys(stream.keys(), file)
    return found


def read_tensors(folder: Path, names: list[str]) -> dict[str, torch.Tensor]:
    """Read some tensors of a checkpoint or adapter and no others.

    Raises:
        InputError: one is not in it, or a file is damaged.
    """
    files, found = tensor_files(folder), {}
    for name in names:
        if name not in files:
            raise InputError(f"{folder}: no tensor {name} in it; give the model it belongs to")
        with _open(files[name], "pt") as stream:
            found[name] = stream.get_tensor(name)
    return found


def check_finite(folder: Path) -> None:
    """Complain about a weight that is NaN or infinite, which would spoil all that follows.

    Reads every tensor of a checkpoint once; memory: the largest tensor.

    Raises:
        InputError: there is one, or a weights file is damaged.
    """
    for name in tensor_files(folder):
        weight = read_tensors(folder, [name])[name]
        if weight.is_floating_point() and not weight.isfinite().all():
            raise InputError(
                f"{folder}: {name} has weights that are NaN or infinite; get the checkpoint again, "
                "or train it with a smaller learning rate"
            )


def _open(file: Path, framework: str = "np") -> Any:
    """An open safetensors file; `pt` reads tensors as torch's and imports it."""
    from safetensors import SafetensorError, safe_open

    try:
        if not file.is_file():  # a pipe would be waited for, for ever
            raise OSError("not a file")
        return safe_open(file, framework=framework)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{file}: damaged safetensors file ({error}); copy it again") from error
