"""The configuration of an experiment from its files, put together as --configfile does."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from qunlearn.experiment import config
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_text

ROOT = Path(__file__).resolve().parents[3]


def read(paths: Sequence[Path]) -> config.Json:
    """The full configuration that `paths` make: later files win, absent keys have their default.

    Without any it is `config.yaml`, the default experiment. Errors as `read_one` and `resolve`.
    """
    merged: config.Json = {}
    for path in paths or [ROOT / "config.yaml"]:
        merged = _over(merged, read_one(path))
    return config.resolve(merged)


def read_one(path: Path) -> config.Json:
    """One configuration file as it stands.

    Stricter than Snakemake, which takes the last of two values of a key.

    Raises:
        InputError: it is missing, not a file, not UTF-8, not YAML, or has no keys; a key
            stands twice in one section; or it is a template with code in it.
    """
    text = read_text(path)
    try:
        content = yaml.load(text, Loader=_Strict)  # nosec B506 - made from a safe loader
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        what = getattr(error, "problem", None) or "nested too deep, or not a value"
        raise InputError(f"{path}: not valid YAML{where} ({what}); fix the file") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: has no keys; write a configuration, as in config/")
    if "__use_yte__" in content:  # with it Snakemake takes a file for a template, and runs its code
        raise InputError(f"{path}: config key '__use_yte__' makes a file a template; drop it")
    return content


def check_flags(words: Sequence[str]) -> None:
    """Raise an InputError where a flag is given twice, of which Snakemake would take the last."""
    for names in (("--configfile", "--configfiles"), ("--config", "-C")):
        if sum(word.partition("=")[0] in names for word in words) > 1:
            raise InputError(
                f"{names[0]}: given twice; write everything after one: {names[0]} FIRST SECOND"
            )


def with_words(merged: Mapping[str, Any], words: Mapping[str, Any]) -> config.Json:
    """`merged` with numbers and switches where `--config 'key={...}'` handed over their text.

    Args:
        merged: the configuration as Snakemake has merged it.
        words: of its command line alone; in files YAML has read them already.
    """
    return _over(merged, _plain(words))


def _over(below: Any, above: Mapping[str, Any]) -> config.Json:
    """`below` with the values of `above`; sections are merged, everything else is replaced."""
    merged = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        merged[key] = _over(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def _plain(word: Any) -> Any:
    if isinstance(word, Mapping):
        return {key: _plain(part) for key, part in word.items()}
    if isinstance(word, list):
        return [_plain(part) for part in word]
    with suppress(ValueError, TypeError):  # what is no JSON is text, or a value already
        return json.loads(word)
    return word


class _Strict(yaml.SafeLoader):
    """YAML in which a section has each key once."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key '{key.value}' appears twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
