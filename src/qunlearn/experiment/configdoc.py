"""The table of every configuration key, made from the classes of its sections."""

import json
from collections.abc import Iterator
from typing import Any

from qunlearn.experiment.keys import Config
from qunlearn.settings.kinds import LARGEST

HEAD = """# Every key of a configuration

Generated from `src/qunlearn/experiment/keys.py` and `src/qunlearn/settings` by `make docs`; do not
edit. A key that a configuration leaves out has the default below; unknown keys are an error.
Integers are at most 2147483647.

`--configfile FILE` replaces `config.yaml`, the default experiment. With several files,
`--configfile FILE CHANGES`, later ones win, key by key; `--config key=value` overrides all files.

| key | values | default | meaning |
|---|---|---|---|
"""
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def as_markdown() -> str:
    """A row for each key, in the order of the sections, nested ones with their full path."""
    schema = Config.model_json_schema()
    return HEAD + "".join(
        f"| `{key}` | {values(part)} | `{json.dumps(part['default'])}` "
        f"| {' '.join(part['description'].split())} |\n"
        for key, part in _leaves(schema, schema["$defs"], "")
    )


def _leaves(
    section: dict[str, Any], definitions: dict[str, Any], prefix: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in section["properties"].items():
        if "$ref" in part:
            nested = definitions[part["$ref"].rpartition("/")[2]]
            yield from _leaves(nested, definitions, f"{prefix}{name}.")
        else:
            yield prefix + name, part


def values(part: dict[str, Any]) -> str:
    """What a key may be, in words: `integer ≥ 1`."""
    if "anyOf" in part:
        return " or ".join(values(one) for one in part["anyOf"])
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    if part["type"] == "array":
        return f"list of {values(part['items'])}"
    bounds = " and ".join(
        f"{sign} {part[key]}" for key, sign in BOUNDS.items() if part.get(key, LARGEST) != LARGEST
    )
    return f"{part['type']} {bounds}".strip()
