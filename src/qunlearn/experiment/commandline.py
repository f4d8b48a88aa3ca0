"""The part of a configuration that stands on Snakemake's command line."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qunlearn.run.errors import InputError


def check_flags(words: Sequence[str]) -> None:
    """Refuse a flag that Snakemake would take the last of.

    Args:
        words: of its command line.

    Raises:
        InputError: `--configfile` or `--config` is given twice.
    """
    for names in (("--configfile", "--configfiles"), ("--config", "-C")):
        if sum(word.partition("=")[0] in names for word in words) > 1:
            raise InputError(
                f"{names[0]}: given twice, and Snakemake takes the last alone; write everything "
                f"after one: {names[0]} FIRST SECOND"
            )


def with_words(config: Mapping[str, Any], words: Mapping[str, Any]) -> dict[str, Any]:
    """`config` with numbers and switches where `--config 'key={...}'` handed over their text.

    Args:
        config: as Snakemake has merged it.
        words: of its command line alone; in files YAML has read them already.
    """
    merged = dict(config)
    for key, word in words.items():
        below = merged.get(key)
        if isinstance(word, Mapping) and isinstance(below, Mapping):
            merged[key] = with_words(below, word)
        else:
            merged[key] = _plain(word)
    return merged


def _plain(word: Any) -> Any:
    if isinstance(word, Mapping):
        return {key: _plain(part) for key, part in word.items()}
    if isinstance(word, list):
        return [_plain(part) for part in word]
    if word in ("true", "false", "null"):
        return json.loads(word)
    for kind in (int, float):
        try:
            return kind(word) if isinstance(word, str) else word
        except ValueError:
            continue
    return word
