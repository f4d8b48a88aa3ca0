"""Checkpoints from the hub, from GGUF files and with other tokenizers, in the form we work with.

That form is a folder with safetensors, config.json, a tokenizer and manifest.json. `fetch` makes
it; `read_outline` and `read_tokenizer` look at a checkpoint before its weights are downloaded. Of
the hub only files that cannot run code are taken. Weights are hard links where the file system
allows it: 13 GB are not copied.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.models import gguf, hub
from qunlearn.models.checkpoints import check_checkpoint, load_tokenizer, read_config
from qunlearn.models.shape import ModelShape
from qunlearn.models.sources import Source, gguf_file
from qunlearn.models.weights import check_finite
from qunlearn.run.errors import InputError, short
from qunlearn.run.files import new_folder, sha256
from qunlearn.run.manifest import Stopwatch, write_manifest

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


@dataclass(frozen=True)
class Place:
    """A source and, of the hub's, the commit that is meant."""

    source: Source
    revision: str = ""


@dataclass(frozen=True)
class Outline:
    """A model by its config alone.

    Attributes:
        shape: of the model.
        kind: transformers' model type; empty of one that the workflow trains.
        weights: bytes of the hub's weights; 0 where they are not the hub's.
        missing: bytes of them that its cache here lacks.
    """

    shape: ModelShape
    kind: str = ""
    weights: int = 0
    missing: int = 0


def read_outline(place: Place) -> Outline:
    """Look at the config of a checkpoint; of the hub's that is all that is downloaded.

    Raises:
        InputError: it cannot be had or read, the hub has no safetensors of it, or the pipeline
            does not work with this kind of model.
    """
    source, weights, missing = place.source, 0, 0
    if source.kind == "gguf":
        config = gguf.model_config(gguf_file(source.value))
    else:
        folder = _folder(place, CONFIGS)
        if source.kind == "hub":
            weights, missing = _weights_on_hub(place, folder)
        config = read_config(folder / "config.json")
    kind = config.get("model_type")
    if kind not in LLAMA_LIKE:
        raise InputError(
            f"models of type {short(kind)} are not supported; {' or '.join(LLAMA_LIKE)} is"
        )
    named = config.get("architectures") or []
    named = named if isinstance(named, list) else [named]
    if not all(str(name).endswith("ForCausalLM") for name in named):
        raise InputError(f"{short(named)} is no causal language model; give one")
    if "quantization_config" in config:
        raise InputError("quantized already; give the dense checkpoint that it was made from")
    return Outline(ModelShape.from_config(config), str(kind), weights, missing)


def read_tokenizer(place: Place) -> "PreTrainedTokenizerBase":
    """The tokenizer at `place`; of the hub's checkpoint only its files are downloaded.

    Raises:
        InputError: it cannot be had or read.
    """
    if place.source.kind == "gguf":
        file = gguf_file(place.source.value)
        gguf.vocabulary(file)
        return gguf.load_gguf_tokenizer(file)  # type: ignore[no-any-return]
    return load_tokenizer(_folder(place, TOKENIZER))


def fetch(place: Place, output: Path, tokenizer: Place | None = None) -> None:
    """Write the checkpoint at `place`, and its manifest, to the folder `output`.

    Args:
        place: where the checkpoint is; not one that the workflow makes.
        output: a previous one is replaced.
        tokenizer: where another tokenizer comes from; none keeps the checkpoint's own.

    Raises:
        InputError: something is not to be had or damaged, there are no safetensors, the tokenizer
            does not fit the embeddings, or a weight is not finite.
    """
    stopwatch = Stopwatch()
    facts: dict[str, Any] = {}
    with new_folder(output) as folder:
        if place.source.kind == "gguf":
            facts = gguf.dequantize(gguf_file(place.source.value), folder)
        else:
            _bring(place, CONFIGS + WEIGHTS + (() if tokenizer else TOKENIZER), folder)
        if tokenizer:
            _replace_tokenizer(folder, tokenizer)
        _check(place, folder)
        write_manifest(
            folder,
            step="fetch_model",
            settings={"source": _named(place), "tokenizer": tokenizer and _named(tokenizer)},
            inputs={},
            stopwatch=stopwatch,
            **facts,
        )
    if caveat := facts.get("caveat"):
        print(f"caveat: {caveat}", flush=True)


def _bring(place: Place, patterns: Sequence[str], folder: Path) -> None:
    """Link or copy the files that match into `folder`."""
    found = _folder(place, patterns)
    for pattern in patterns:
        for file in sorted(found.glob(pattern)):
            _link(file.resolve(), folder / file.name)


def _folder(place: Place, patterns: Sequence[str]) -> Path:
    """The folder with the files that match; the hub's are downloaded."""
    if place.source.kind == "hub":
        return hub.snapshot(place.source.value, place.revision, kind="model", patterns=patterns)
    return Path(place.source.value)


def _weights_on_hub(place: Place, cached: Path) -> tuple[int, int]:
    """Bytes of the weights, and of those that are not in the cache's folder yet."""
    from huggingface_hub import constants

    present = sum(file.stat().st_size for name in WEIGHTS for file in cached.glob(name))
    if constants.is_offline_mode():
        return present, 0
    size = hub.size_on_hub(place.source.value, place.revision, kind="model", patterns=WEIGHTS)
    if not size:
        raise InputError(_no_weights(place))
    return size, max(0, size - present)


def _no_weights(place: Place) -> str:
    return (
        f"no safetensors at {place.revision}, and pickled weights can run code, so they are not "
        "read; convert them once (transformers: from_pretrained, then save_pretrained) and give "
        "the folder's path in place of hub:…"
    )


def _link(source: Path, target: Path) -> None:
    if target.suffix == ".safetensors":
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or one without links
            pass
    shutil.copyfile(source, target)


def _replace_tokenizer(folder: Path, place: Place) -> None:
    for name in TOKENIZER:
        (folder / name).unlink(missing_ok=True)
    if place.source.kind == "gguf":
        gguf.save_tokenizer(gguf_file(place.source.value), folder)
    else:
        _bring(place, TOKENIZER, folder)


def _check(place: Place, folder: Path) -> None:
    if place.source.kind == "hub" and not any(folder.glob(WEIGHTS[0])):
        raise InputError(f"{place.source}: {_no_weights(place)}")
    try:
        check_checkpoint(folder)
        check_finite(folder)
    except InputError as error:
        raise InputError(str(error).replace(str(folder), str(place.source))) from error


def _named(place: Place) -> dict[str, Any]:
    """The source as a manifest shows it: what it is and what is in it, not where."""
    source = place.source
    if source.kind == "hub":
        return {"hub": source.value, "revision": place.revision}
    if source.kind == "gguf":
        file = gguf_file(source.value)
        return {"gguf": file.name, "sha256": sha256(file)}
    return {"folder": Path(source.value).name}
