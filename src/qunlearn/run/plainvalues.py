"""What a configuration may be made of, before its schema has a say.

YAML has more than JSON: dates, sets, bytes, keys that are lists, values that hold themselves, texts
with bytes that no file name or page can have. JSON Schema's numbers may be NaN or have a thousand
digits. Each would pass for what it is not and fail in a job hours later.
"""

import math
from collections.abc import Mapping
from reprlib import Repr
from typing import Any

from qunlearn.run.errors import InputError

DEPTH = 12
"""Levels of a configuration; the schema needs six."""
COUNT = 50_000
"""Values of a configuration. Anchors in YAML can make billions of a few lines."""
LARGEST = 2**31 - 1
"""Of a whole number: what every library here takes for a seed or a size."""

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


def short(value: Any) -> str:
    """`repr` for a message of one line: long texts, lists and numbers have their middle left out.

    Python refuses to write numbers of more than 4300 digits at all.
    """
    if isinstance(value, int) and abs(value) > 10**40:
        return "a number of more than 40 digits"
    return _SHORT.repr(value)


def check_plain(values: Mapping[Any, Any]) -> None:
    """Complain about a value that no configuration can have, whatever its key.

    Raises:
        InputError: a key is no text; a value is none of text, number, switch, list, section and
            null; a number is NaN, infinite or too large; a text has control characters or half a
            character; or all of it is too deep or too much.
    """
    left = COUNT
    waiting: list[tuple[str, int, Any]] = [("", 0, values)]
    while waiting:
        place, depth, value = waiting.pop()
        left -= 1
        if left < 0:
            raise InputError(f"config: more than {COUNT} values; take out what repeats itself")
        if depth > DEPTH:
            raise InputError(f"config key '{_start(place)}…' is nested too deep; no key is so deep")
        if isinstance(value, Mapping):
            for key in value:
                if not isinstance(key, str):
                    raise InputError(
                        f"config key '{_under(place, short(key))}' is a {type(key).__name__}; "
                        "write it as text, in quotes"
                    )
                _check_text(f"config key {short(_under(place, key))}", key)
            parts = [(_under(place, key), part) for key, part in value.items()]
        elif isinstance(value, list):
            parts = [(_under(place, str(index)), part) for index, part in enumerate(value)]
        else:
            _check_leaf(place, value)
            continue
        # Backwards, for what comes last is looked at first.
        waiting += [(name, depth + 1, part) for name, part in reversed(parts)]


def _under(place: str, key: str) -> str:
    return f"{place}.{key}" if place else key


def _start(place: str) -> str:
    return ".".join(place.split(".")[:3])


def _check_leaf(place: str, value: Any) -> None:
    if value is None or isinstance(value, bool):
        return
    where = f"config key '{place}'"
    if isinstance(value, str):
        _check_text(f"{where}: {short(value)}", value)
    elif isinstance(value, int):
        if abs(value) > LARGEST:
            raise InputError(f"{where}: {short(value)} is too large; write at most {LARGEST}")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"{where}: {value} is no number to reckon with; write a finite one")
    else:
        kind = type(value).__name__
        raise InputError(
            f"{where}: YAML reads it as a {kind}; put a text into quotes, or write a list"
        )


def _check_text(where: str, text: str) -> None:
    for character in text:
        if ord(character) < 32 or ord(character) == 127:
            raise InputError(f"{where} has the control character {character!r}; take it out")
        if 0xD800 <= ord(character) < 0xE000:
            raise InputError(f"{where} has half a character, {character!r}; take it out")
