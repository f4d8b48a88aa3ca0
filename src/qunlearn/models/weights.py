"""The files that hold a checkpoint's weights, and their tensors read one at a time.

`weight_files` alone says which files these are. Nothing here imports torch before a tensor is read.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.run.errors import InputError, short
from qunlearn.run.files import read_json

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_SHARD = re.compile(r"[^/\\\0]+\.safetensors")


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a checkpoint's weights: one, or the shards of its index.

    Raises:
        InputError: there are none, a shard is missing, or there are two sets: transformers would
            read `model.safetensors` and other programs the shards.
    """
    index, whole = folder / INDEX, folder / WEIGHTS
    if index.exists():
        shards = _shards(index)
        if whole.exists() and WEIGHTS not in shards:
            raise InputError(
                f"{folder}: two sets of weights, {WEIGHTS} and the shards of {INDEX}; "
                "remove the set that is not the model's"
            )
        if missing := [shard for shard in shards if not (folder / shard).exists()]:
            raise InputError(
                f"{index}: names {len(missing)} of {len(shards)} shards that are missing, "
                f"e.g. {missing[0]}; copy the whole checkpoint"
            )
        return [folder / shard for shard in shards]
    if not whole.exists():
        pickled = sorted(folder.glob("pytorch_model*.bin"))
        advice = (
            f"found {pickled[0].name}: convert it to safetensors"
            if pickled
            else f"add {WEIGHTS}, or {INDEX} and its shards"
        )
        raise InputError(f"{folder}: checkpoint folder without weights; {advice}")
    return [whole]


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor name -> the safetensors file that holds it.

    Raises:
        InputError: as `weight_files`, or a file is damaged.
    """
    found: dict[str, Path] = {}
    for file in weight_files(folder):
        with _open(file) as stream:
            found |= dict.fromkeys(stream.keys(), file)
    return found


def read_tensors(folder: Path, names: list[str]) -> dict[str, torch.Tensor]:
    """Read some tensors of a checkpoint and no others.

    Raises:
        InputError: one is not in it, or a file is damaged.
    """
    files = tensor_files(folder)
    if missing := [name for name in names if name not in files]:
        raise InputError(
            f"{folder}: no tensor {missing[0]} in it; give the checkpoint it belongs to"
        )
    with ExitStack() as stack:
        streams = {
            file: stack.enter_context(_open(file)) for file in {files[name] for name in names}
        }
        return {name: streams[files[name]].get_tensor(name) for name in names}


def check_finite(folder: Path) -> None:
    """Complain about a weight that is NaN or infinite, which would spoil all that follows.

    Reads every tensor of a checkpoint once; memory: the largest tensor.

    Raises:
        InputError: there is one, or a weights file is damaged.
    """
    for file in weight_files(folder):
        with _open(file) as stream:
            for name in stream.keys():  # noqa: SIM118 - not a dict
                check_tensor(folder, name, stream.get_tensor(name))


def check_tensor(folder: Path, name: str, weight: torch.Tensor) -> None:
    """Complain about a weight of a tensor that is NaN or infinite.

    Args:
        folder, name: for the message.

    Raises:
        InputError: there is one.
    """
    import torch

    weight = weight.detach()
    # A sum is one pass without a copy; where it is not finite (float16 may overflow) look again.
    if not weight.is_floating_point() or torch.isfinite(weight.sum()):
        return
    if not torch.isfinite(weight).all():
        raise InputError(
            f"{folder}: {name} has weights that are NaN or infinite; get the checkpoint again, or "
            "train it with a smaller learning rate"
        )


def check_safetensors(file: Path) -> None:
    """Compare a safetensors file's size with what its header says, without reading any tensor.

    The format: 8 bytes with the length of the header (little endian), the header (JSON: each
    tensor's first and last offset in the data), the data without gaps.
    https://github.com/huggingface/safetensors#format

    Raises:
        InputError: the file is shorter or longer, or is no safetensors file.
    """
    if not file.is_file():  # a pipe would be waited for, for ever
        raise InputError(f"{file}: no file; copy the checkpoint again")
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = int.from_bytes(stream.read(8), "little")
        if size < 8 or start > size - 8:
            raise InputError(f"{file}: {size} bytes, which end within its header; copy it again")
        try:
            header = json.loads(stream.read(min(start, LONGEST_HEADER)))
            tensors = [entry for name, entry in header.items() if name != "__metadata__"]
            wanted = 8 + start + max((entry["data_offsets"][1] for entry in tensors), default=0)
        except (ValueError, AttributeError, TypeError, LookupError, RecursionError):
            raise InputError(
                f"{file}: no safetensors file, or one whose header is damaged; copy it again"
            ) from None
    if size != wanted:
        raise InputError(f"{file}: {size} bytes instead of {wanted}; copy it again")


def damaged(path: Path, error: Exception) -> InputError:
    """The complaint about a file of weights, or a folder, that safetensors cannot read."""
    return InputError(f"{path}: damaged safetensors file ({error}); copy it again")


def _shards(index: Path) -> list[str]:
    """The files that an index names: of its own folder, whatever it says."""
    content = read_json(index)
    if not isinstance(content, dict) or not isinstance(content.get("weight_map"), dict):
        raise InputError(f"{index}: no object 'weight_map' in it; replace the file")
    names = list(content["weight_map"].values())
    wrong = [name for name in names if not isinstance(name, str) or not _SHARD.fullmatch(name)]
    if wrong or not names:
        what = short(wrong[0]) if wrong else "nothing"
        raise InputError(
            f"{index}: names {what} as a shard; a shard is a .safetensors file beside it, so copy "
            "the whole checkpoint again"
        )
    return sorted(set(names))


def _open(file: Path) -> Any:
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise damaged(file, error) from error
