"""Checkpoints from the hub, from GGUF files and with other tokenizers, in the form we work with.

That form is a folder with safetensors, config.json, a tokenizer and manifest.json. `fetch` makes
it; `read_shape` and `read_tokenizer` look at a checkpoint before its weights are downloaded. Of
the hub only files that cannot run code are taken. Weights are hard links where the file system
allows it: 13 GB are not copied.
"""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qunlearn.models import gguf, hub
from qunlearn.models.checkpoints import check_checkpoint, check_finite, load_tokenizer, read_config
from qunlearn.models.shape import ModelShape
from qunlearn.models.sources import Source, gguf_file
from qunlearn.run.errors import InputError, short
from qunlearn.run.files import link_or_copy, new_folder
from qunlearn.run.manifest import write_manifest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3")
"""transformers' model types that the pipeline works with: a causal language model whose layers have
q, k, v, o, gate, up and down projections and whose logits are its head times its last state."""

CONFIGS = ("config.json", "generation_config.json")
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "vocab.json", "merges.txt", "chat_template.jinja"),
)


def read_shape(source: Source) -> ModelShape:
    """The shape of a checkpoint by its config; of the hub's that is all that is downloaded.
    An InputError where it cannot be read, or the pipeline does not work with this kind of model.
    """
    if source.kind == "gguf":
        config = gguf.model_config(gguf_file(source.value))
    else:
        config = read_config(_folder(source, CONFIGS))
    kind, built = config.get("model_type"), config.get("architectures") or "ForCausalLM"
    if kind not in LLAMA_LIKE or "ForCausalLM" not in str(built):
        raise InputError(
            f"models of type {short(kind)} ({short(built)}) are not supported; give a causal "
            f"language model of type {' or '.join(LLAMA_LIKE)}"
        )
    if "quantization_config" in config:
        raise InputError("quantized already; give the dense checkpoint that it was made from")
    return ModelShape.from_config(config)


def read_tokenizer(source: Source) -> "PreTrainedTokenizerBase":
    """The tokenizer at `source`, of the hub only its files; an InputError as `load_tokenizer`."""
    if source.kind == "gguf":
        return gguf.load_tokenizer(gguf_file(source.value))  # type: ignore[no-any-return]
    return load_tokenizer(_folder(source, TOKENIZER))


def fetch(source: Source, output: Path, tokenizer: Source | None = None) -> None:
    """Write the checkpoint at `source`, with its own or another tokenizer, and its manifest.

    Raises:
        InputError: something is not to be had or damaged, there are no safetensors, the tokenizer
            does not fit the embeddings, or a weight is not finite.
    """
    from qunlearn.models.tokens import check_ids

    file = gguf_file(source.value) if source.kind == "gguf" else None
    with new_folder(output) as folder:
        if file:
            gguf.dequantize(file, folder)
        else:
            _bring(source, CONFIGS + WEIGHTS + (() if tokenizer else TOKENIZER), folder)
        if tokenizer:
            for name in TOKENIZER:
                (folder / name).unlink(missing_ok=True)
            if tokenizer.kind == "gguf":
                read_tokenizer(tokenizer).save_pretrained(folder)
            else:
                _bring(tokenizer, TOKENIZER, folder)
        try:
            check_checkpoint(folder)
            check_finite(folder)
            check_ids(load_tokenizer(folder), read_config(folder)["vocab_size"])
        except InputError as error:
            raise InputError(str(error).replace(str(folder), str(source))) from error
        write_manifest(
            folder,
            step="fetch_model",
            settings={"source": _named(source), "tokenizer": tokenizer and _named(tokenizer)},
            inputs={"gguf": file} if file else {},
        )


def _folder(source: Source, patterns: Sequence[str]) -> Path:
    """The folder with the files that match; the hub's are downloaded."""
    if source.kind == "hub":
        return hub.snapshot(source.value, source.revision, kind="model", patterns=patterns)
    return Path(source.value)


def _bring(source: Source, patterns: Sequence[str], folder: Path) -> None:
    """Link or copy the files that match into `folder`."""
    found = _folder(source, patterns)
    for file in {file for pattern in patterns for file in found.glob(pattern)}:
        copy = link_or_copy if file.suffix == ".safetensors" else shutil.copyfile
        copy(file.resolve(), folder / file.name)


def _named(source: Source) -> str:
    """The source as a manifest shows it: what it is, not where on this machine."""
    if source.kind == "hub":
        return f"{source}@{source.revision}"
    return str(replace(source, value=Path(source.value).name))
