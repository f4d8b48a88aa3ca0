"""Checkpoint folders: checked before anything heavy happens, read and written as safetensors.

A *checkpoint* is a Hugging Face folder (config.json, *.safetensors, tokenizer); an *adapter* is a
PEFT folder (adapter_config.json, adapter_model.safetensors) that needs the checkpoint it was
trained on. Checking reads JSON and the headers of weights alone; torch, transformers and peft load
on first use. Tensors are also read one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.run.errors import InputError, short
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def check_checkpoint(folder: Path, *, tokenizer: bool = True) -> None:
    """Raise an InputError where a checkpoint's folder, config, weights (or a shard) or tokenizer is
    missing, unreadable or cut short.

    Args:
        tokenizer: whether its own tokenizer will be used, and so is checked too.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such checkpoint folder; check the path")
    read_config(folder)
    tensor_files(folder)
    if tokenizer:
        check_tokenizer(folder)


def check_tokenizer(folder: Path) -> None:
    """Raise an InputError where a tokenizer's files are missing, name code or are not objects."""
    names = ("tokenizer.json", "tokenizer.model", "vocab.json")
    if not any((folder / name).exists() for name in names):
        raise InputError(f"{folder}: no tokenizer ({', '.join(names)}); copy its files into it")
    for name in ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"):
        if (folder / name).exists():
            read_config(folder, name)


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A JSON object of a model or tokenizer that brings no Python code of its own.

    Code is never run here (`trust_remote_code`), and without it the weights may mean something
    else: an InputError where it is named, or where there is no object.
    """
    content = read_json(folder / name)
    if not isinstance(content, dict):
        raise InputError(f"{folder / name}: not a JSON object; copy the file again")
    if "auto_map" in content:
        raise InputError(
            f"{folder / name}: auto_map names code, which is not run; save a copy without auto_map"
        )
    return content


def architecture(folder: Path) -> Any:
    """A checkpoint's config as transformers' object, with PyTorch's attention (sdpa).

    config.json may want another one, which is not installed here or works in 16 bits alone; its
    `_attn_implementation` goes before the argument of that name to `from_pretrained`.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    config._attn_implementation = "sdpa"
    return config


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds a PEFT adapter rather than a whole model."""
    return (folder / ADAPTER_CONFIG).exists()


def is_diverged(folder: Path) -> bool:
    """Whether the training that made `folder` ended with a non-finite loss and left no weights."""
    manifest = folder / MANIFEST
    return manifest.exists() and read_json(manifest).get("status") == "diverged"


def load_model(
    folder: Path, dtype: torch.dtype, device: torch.device | None = None
) -> PreTrainedModel:
    """Read a causal language model, whole or in shards, in `eval` mode.

    One that bitsandbytes quantized lands on the GPU if there is one, whatever `device` is.

    Args:
        folder: a checkpoint.
        dtype: of the weights; files in the same dtype are mapped, not copied.
        device: where the weights go, tensor by tensor, so that the machine's memory need not hold
            them all; the CPU by default.

    Raises:
        InputError: the checkpoint fails `check_checkpoint` or `check_complete`, or is not the
            workflow's own and has weights that are not finite.
    """
    check_checkpoint(folder)
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        config=architecture(folder),
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        local_files_only=True,
        output_loading_info=True,
        device_map={"": device} if device is not None and device.type != "cpu" else None,
    )
    model, info = loaded
    check_complete(folder, info)
    if not (folder / MANIFEST).exists():  # the workflow looked at its own when it wrote them
        check_finite(folder)
    return model.eval()  # type: ignore[no-any-return]


def check_complete(folder: Path, info: Mapping[str, Any]) -> None:
    """Raise an InputError where a checkpoint and a config.json do not belong together.

    transformers fills weights that are absent with random numbers, leaves out those that the model
    has no place for (attention biases without `attention_bias`, layers beyond
    `num_hidden_layers`), and goes on. Buffers of older versions of a model are not counted.

    Args:
        folder: for the message.
        info: what `from_pretrained(..., output_loading_info=True)` returns beside the model.
    """
    for fault, key in {"lacks": "missing_keys", "has no place for": "unexpected_keys"}.items():
        if names := info[key]:
            raise InputError(
                f"{folder}: the model of config.json {fault} {len(names)} tensors, e.g. "
                f"{min(names)}; config.json and the weights must be those of one model"
            )


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Read the tokenizer of a checkpoint folder.

    A tokenizer.json decides alone which ids a text becomes; tokenizer_config.json only names its
    special tokens. `AutoTokenizer` is not used then: for some model types (qwen2) and classes
    that the config names (GPT2Tokenizer) it keeps the vocabulary and splits texts in its own way.

    Raises:
        InputError: it is missing, or cannot be read.
    """
    check_tokenizer(folder)
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    reader: Any = PreTrainedTokenizerFast if (folder / "tokenizer.json").exists() else AutoTokenizer
    try:
        return reader.from_pretrained(folder, trust_remote_code=False, local_files_only=True)  # type: ignore[no-any-return]
    except Exception as error:  # tokenizers raises nothing narrower
        raise InputError(
            f"{folder}: the tokenizer cannot be read ({error}); copy its files again"
        ) from error


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write a checkpoint that `load_model` and `load_tokenizer` read, in the model's own dtype."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def load_dense(folder: Path, base: Path | None = None) -> PreTrainedModel:
    """Read `folder` as one dense model in float32, merging it into `base` where it is an adapter.

    Merging `W + scaling * B A` into weights that are rounded would lose part of the update.

    Args:
        folder: a checkpoint, or a LoRA adapter.
        base: the checkpoint that the adapter was trained on; not read otherwise.

    Raises:
        InputError: an adapter without its base or its weights, a bad checkpoint, or one that is
            quantized already.
    """
    import torch

    adapter = is_adapter(folder)
    dense = base if adapter else folder
    if dense is None:
        raise InputError(f"{folder}: a LoRA adapter; give the checkpoint it belongs to as base")
    if "quantization_config" in read_config(dense):
        raise InputError(f"{dense}: quantized already; give the dense checkpoint it was made from")
    if not adapter:
        return load_model(dense, torch.float32)
    tensor_files(folder)
    model = load_model(dense, torch.float32)

    from peft import PeftModel

    adapted: Any = PeftModel.from_pretrained(model, str(folder), local_files_only=True)
    return adapted.merge_and_unload().eval()  # type: ignore[no-any-return]


def tensor_files(folder: Path) -> dict[str, Path]:
    """Tensor name -> the safetensors file that holds it, of a checkpoint, whole or in shards, or of
    an adapter; by the files' headers. Of both forms transformers reads the whole one.

    Raises:
        InputError: there are no such files, a shard is not beside its index, or a file is longer or
            shorter than its header says.
    """
    index = folder / INDEX
    names: list[Any] = [ADAPTER_WEIGHTS if is_adapter(folder) else WEIGHTS]
    if not (folder / names[0]).exists():
        if not index.exists():
            raise InputError(
                f"{folder}: no {names[0]}; pickled weights can run code: convert to safetensors"
            )
        try:
            names = list(read_json(index)["weight_map"].values())
        except (AttributeError, LookupError, TypeError):
            names = []
        beside = {file.name for file in folder.glob("*.safetensors")}
        if wrong := [name for name in names or [None] if str(name) not in beside]:
            raise InputError(
                f"{index}: names {short(wrong[0])}, not a shard beside it; copy the folder again"
            )
    found: dict[str, Path] = {}
    for name in sorted(set(names)):
        with _open(folder / name) as stream:
            found |= dict.fromkeys(stream.keys(), folder / name)
    return found


def read_tensors(folder: Path, names: list[str]) -> dict[str, torch.Tensor]:
    """Read some tensors of a checkpoint or adapter; an InputError where one is not in it."""
    files, found = tensor_files(folder), {}
    for name in names:
        if name not in files:
            raise InputError(f"{folder}: no tensor {name} in it; give the model it belongs to")
        with _open(files[name], "pt") as stream:
            found[name] = stream.get_tensor(name)
    return found


def check_finite(folder: Path) -> None:
    """Raise an InputError for a weight that is NaN or infinite, which would spoil all that follows.

    Reads every tensor of a checkpoint once; memory: the largest tensor.
    """
    for name in tensor_files(folder):
        weight = read_tensors(folder, [name])[name]
        if weight.is_floating_point() and not weight.isfinite().all():
            raise InputError(
                f"{folder}: {name} has weights that are NaN or infinite; get the checkpoint again"
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
