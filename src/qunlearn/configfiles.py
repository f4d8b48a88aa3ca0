"""The configuration of an experiment from its files, put together as --configfile does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from qunlearn import config
from qunlearn.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"


def read(paths: Sequence[Path]) -> config.Json:
    """The full configuration: the default experiment's, changed by each of `paths` in turn.

    Raises:
        InputError: a file is missing, is no YAML or has no keys; or as `config.resolve` does.
    """
    merged: config.Json = {}
    for path in (ROOT / "config.yaml", *paths):
        merged = _over(merged, _read_one(path))
    return config.resolve(merged, config.load_schema(SCHEMA))


def _over(below: Any, above: Mapping[str, Any]) -> config.Json:
    """`below` with the values of `above`; sections are merged, everything else is replaced."""
    merged = dict(below) if isinstance(below, Mapping) else {}
    for key, value in above.items():
        merged[key] = _over(merged.get(key), value) if isinstance(value, Mapping) else value
    return merged


def _read_one(path: Path) -> config.Json:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check --configfile") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}" if place else ""
        raise InputError(f"{path}: no valid YAML{where}; mend the file") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: has no keys; write a configuration, as in config/")
    return content
