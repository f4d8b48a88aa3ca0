"""What can be known of a given checkpoint before its weights are read or downloaded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import Any

from qunlearn.models import gguf, hub
from qunlearn.models.checkpoints import check_no_code, check_tokenizer
from qunlearn.models.fetching import CONFIGS, TOKENIZER, WEIGHTS, Place
from qunlearn.models.shape import ModelShape
from qunlearn.models.sources import gguf_file
from qunlearn.run.errors import InputError, short
from qunlearn.run.files import read_json

LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3")
"""transformers' model types that the pipeline works with: a causal language model whose layers have
q, k, v, o, gate, up and down projections and whose logits are its head times its last state."""
PRINTED = ("model", "added_tokens", "normalizer", "pre_tokenizer", "post_processor")
"""What of a tokenizer.json decides which ids a text becomes."""


@dataclass(frozen=True)
class Given:
    """A checkpoint by its config alone.

    Attributes:
        shape: of the model.
        kind: transformers' model type.
        download: bytes of weights that the hub has and its cache here has not.
        weights: bytes of all its weights; 0 where they are not looked at.
    """

    shape: ModelShape
    kind: str
    download: int = 0
    weights: int = 0


@dataclass(frozen=True)
class Tokens:
    """A tokenizer.

    Attributes:
        prints: form -> hash of what decides the ids of a text, of each form that it is stored in.
        place: its files, or the GGUF file.
        count: ids, where only they are known (GGUF).
    """

    prints: Mapping[str, str] = field(default_factory=dict)
    place: Path | None = None
    count: int = 0

    def check(self, rows: int) -> None:
        """Complain if an id has no row of an embedding of `rows`.

        Raises:
            InputError: so it is, or the tokenizer's files are unreadable.
        """
        if self.place is not None:
            check_tokenizer(self.place, rows)
        elif self.count > rows:
            raise InputError(
                f"the tokenizer's vocabulary of {self.count} does not fit the model's {rows}; use "
                "the tokenizer that the model was trained with"
            )


def read_model(place: Place) -> Given:
    """Look at the config of a checkpoint; of the hub's that is all that is downloaded.

    Raises:
        InputError: it cannot be had or read, the hub has no safetensors of it, or it is no model
            that the pipeline works with.
    """
    source, download, weights = place.source, 0, 0
    if source.kind == "gguf":
        config = gguf.model_config(gguf_file(source.value))
    else:
        folder = Path(source.value)
        if source.kind == "hub":
            folder = hub.snapshot(source.value, place.revision, kind="model", patterns=CONFIGS)
            weights, download = _weights_on_hub(place, folder)
        config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise InputError("its config.json is no JSON object; replace it with the model's config")
    check_no_code(config, "config.json")
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
    return Given(ModelShape.from_config(config), str(kind), download, weights)


def read_tokenizer(place: Place) -> Tokens:
    """Look at a tokenizer.

    Raises:
        InputError: it cannot be had or read.
    """
    source = place.source
    if source.kind == "gguf":
        count, found = gguf.vocabulary(gguf_file(source.value))
        return Tokens({"gguf": found}, count=count)
    folder = Path(source.value)
    if source.kind == "hub":
        folder = hub.snapshot(source.value, place.revision, kind="model", patterns=TOKENIZER)
    prints = {}
    if (folder / "tokenizer.json").exists():
        content = _object(folder / "tokenizer.json")
        prints["tokenizer.json"] = _hash([content.get(part) for part in PRINTED])
    if (folder / "tokenizer.model").exists():
        prints["tokenizer.model"] = sha256((folder / "tokenizer.model").read_bytes()).hexdigest()
    return Tokens(prints, folder)


def same(first: Tokens, second: Tokens) -> bool | None:
    """Whether two tokenizers make the same ids of a text; None: no form of both tells it."""
    for form in ("tokenizer.json", "tokenizer.model", "gguf"):
        if form in first.prints and form in second.prints:
            return first.prints[form] == second.prints[form]
    return None


def _object(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a JSON object; replace the file")
    return content


def _weights_on_hub(place: Place, cached: Path) -> tuple[int, int]:
    """Bytes of the weights, and of those that are not in the cache's folder yet."""
    from huggingface_hub import constants

    present = sum(file.stat().st_size for name in WEIGHTS for file in cached.glob(name))
    if constants.is_offline_mode():
        return present, 0
    size = hub.size_on_hub(place.source.value, place.revision, kind="model", patterns=WEIGHTS)
    if not size:
        raise InputError(
            f"no safetensors at {place.revision}, and pickled weights can run code, so they are "
            "not read; convert them once (transformers: from_pretrained, then save_pretrained) "
            "and give the folder's path in place of hub:…"
        )
    return size, max(0, size - present)


def _hash(value: Any) -> str:
    return sha256(dumps(value, sort_keys=True).encode()).hexdigest()
