"""The files that hold a checkpoint's weights, and their tensors read one at a time.

Nothing here imports torch before a tensor is read.
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


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor name -> the safetensors file that holds it, of a checkpoint, whole or in shards, or of
    an adapter; by the files' headers. Of both forms transformers reads the whole one.

    Raises:
        InputError: there are no such files, a shard is not beside its index, or a file is longer or
            shorter than its header says.
    """
    index = folder / INDEX
    names = [ADAPTER_WEIGHTS if (folder / ADAPTER_CONFIG).exists() else WEIGHTS]
    if not (folder / names[0]).exists():
        if not index.exists():
            raise InputError(
                f"{folder}: no {names[0]}; pickled weights are not read, since they can run code: "
                "convert them to safetensors"
            )
        content = read_json(index)
        shards = content.get("weight_map") if isinstance(content, dict) else None
        names = list(shards.values()) if isinstance(shards, dict) else []
        if not names:
            raise InputError(f"{index}: no 'weight_map' that names shards; replace the file")
        for name in names:
            plain = isinstance(name, str) and Path(name).name == name
            if not plain or not name.endswith(".safetensors") or not (folder / name).exists():
                raise InputError(
                    f"{index}: names {short(name)} as a shard, which is not a safetensors file "
                    "beside it; copy the whole checkpoint again"
                )
    found: dict[str, Path] = {}
    for name in sorted(set(names)):
        with _open(folder / name) as stream:
            found |= dict.fromkeys(stream.keys(), folder / name)
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
