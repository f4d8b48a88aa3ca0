"""Checkpoints from the hub, from GGUF files and with other tokenizers, in the form we work with.

That form is a folder with safetensors, config.json, a tokenizer and manifest.json. Of the hub only
files that cannot run code are taken. Weights are hard links where the file system allows it: 13 GB
are not copied.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qunlearn.models import gguf, hub
from qunlearn.models.checkpoints import check_checkpoint
from qunlearn.models.sources import Source, gguf_file
from qunlearn.models.weights import check_finite
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, sha256
from qunlearn.run.manifest import Stopwatch, write_manifest

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
    found = Path(place.source.value)
    if place.source.kind == "hub":
        found = hub.snapshot(place.source.value, place.revision, kind="model", patterns=patterns)
    for pattern in patterns:
        for file in sorted(found.glob(pattern)):
            _link(file.resolve(), folder / file.name)


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
        raise InputError(
            f"hub:{place.source.value}: no safetensors at {place.revision}, and pickled weights "
            "can run code, so they are not read; convert them once (transformers: from_pretrained, "
            "then save_pretrained) and give the folder's path in place of hub:…"
        )
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
