"""The table of every configuration key, made from the schema."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

HEAD = """# Every key of a configuration

Made from `workflow/schemas/config.schema.yaml` by `make docs`; do not edit. A key that a
configuration leaves out has the default below; a key that is not below is refused.

`--configfile FILE` replaces `config.yaml`, the default experiment. Of several files,
`--configfile FILE CHANGES`, later ones win, key by key; `--config key=value` wins over all files.

| key | values | default | meaning |
|---|---|---|---|
"""


def as_markdown(schema: dict[str, Any]) -> str:
    """The keys of `schema` in its own order, nested ones with their full path."""
    return HEAD + "".join(
        f"| `{key}` | {values(part)} | {_default(part)} | {part['description']} |\n"
        for key, part in _leaves(schema, schema["$defs"], "")
    )


def _leaves(
    schema: dict[str, Any], definitions: dict[str, Any], prefix: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in schema["properties"].items():
        key = prefix + name
        nested = definitions[part["$ref"].rpartition("/")[2]] if "$ref" in part else part
        if "properties" in nested:
            yield from _leaves(nested, definitions, key + ".")
        else:
            yield key, part


def values(part: Mapping[str, Any]) -> str:
    """What a key may be, in words: `integer ≥ 1`."""
    if "anyOf" in part:
        return " or ".join(values(one) for one in part["anyOf"])
    if "enum" in part:
        return ", ".join(f"`{value}`" for value in part["enum"])
    kind = part["type"] if isinstance(part["type"], str) else " or ".join(part["type"])
    bounds = [
        f"{sign} {part[bound]}"
        for bound, sign in (
            ("minimum", "≥"),
            ("exclusiveMinimum", ">"),
            ("maximum", "≤"),
            ("exclusiveMaximum", "<"),
        )
        if bound in part
    ]
    if items := part.get("items", {}).get("enum"):
        return "list of " + ", ".join(f"`{value}`" for value in items)
    return " ".join([kind, " and ".join(bounds)]).strip()


def _default(part: dict[str, Any]) -> str:
    return f"`{json.dumps(part['default'])}`"
