"""Configurations that are wrong by construction, and valid ones, for hypothesis.

What is generated is wrong because of how it is made, so that no test has to guess whether it should
be refused.
"""

import copy
import datetime
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from conftest import ROOT
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from jsonschema import Draft202012Validator

from qunlearn.experiment import config, configfiles

Json = dict[str, Any]
SCHEMA = config.load_schema(configfiles.SCHEMA)
TINY: Json = yaml.safe_load((ROOT / "config/tiny.yaml").read_text(encoding="utf-8"))
PATTERN = "*/*/lora"
KEYS = {"revisions": "owner/name", "hub": "news", "overrides": PATTERN, "sweep": PATTERN}
"""A key that each section with free keys would take; `news` in the others."""


@dataclass(frozen=True)
class Broken:
    """One input that must be refused.

    Attributes:
        content: of the configuration file.
        words: what the message must name, in any order.
        ours: whether it is this project that reads it first; Snakemake reads its files before.
    """

    content: bytes
    words: tuple[str, ...] = ()
    ours: bool = True


def of(values: Mapping[str, Any], *words: str) -> Broken:
    """A file that YAML can be made of."""
    return Broken(yaml.safe_dump(dict(values), allow_unicode=True).encode(), words)


def resolved(part: Json) -> Json:
    return SCHEMA["$defs"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part


def parts(schema: Json, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Json]]:
    """Every part of a configuration that can be given: sections, values, items of lists."""
    schema = resolved(schema)
    if place:
        yield place, schema
    for key, part in schema.get("properties", {}).items():
        yield from parts(part, (*place, key))
    free = schema.get("additionalProperties")
    if isinstance(free, dict):
        yield from parts(free, (*place, KEYS.get(place[-1], "news")))
    if "items" in schema:
        yield from parts(schema["items"], (*place, 0))


PARTS = list(parts(SCHEMA))
SECTIONS = [((), SCHEMA), *((place, part) for place, part in PARTS if "properties" in part)]


def at(place: tuple[Any, ...], value: Any) -> Any:
    """A configuration that has `value` at `place` and says nothing else."""
    for key in reversed(place):
        value = [value] if key == 0 else {key: value}
    return value


def over(below: Any, above: Any) -> Any:
    """`below` with the values of `above`, section by section."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: over(below.get(key), value) for key, value in above.items()}


def tiny(changes: Mapping[str, Any]) -> Json:
    """The tiny experiment with changes."""
    return over(copy.deepcopy(TINY), dict(changes))


def dotted(place: tuple[Any, ...]) -> str:
    return ".".join(map(str, place))


WRONG = [
    *(None, True, 0, -1, 2, -0.5, 1.0, 1.5, 2.5, 10**12, 10**40, -(10**12)),
    *(float("nan"), float("inf"), -float("inf"), 1e308),
    *("", "text", "1e-5", "yes", "a/b", "..", "-x", "a b", "é", "x" * 300, "$(id)", "a\nb", "\x1b"),
    *([], {}, [[]], ["text"], [None], {"a": {}}, [1, 1], ["news", "news"], [{"a": [1]}]),
    *(datetime.date(2026, 1, 1), b"bytes", {"a", "b"}),
]


def wrong_for(part: Json) -> list[Any]:
    """Of WRONG those values that the schema's part does not have, strictly read."""
    validator = Draft202012Validator({**part, "$defs": SCHEMA["$defs"]})

    def wrong(value: Any) -> bool:
        if isinstance(value, float) and value.is_integer() and part.get("type") == "integer":
            return True
        if value != value or value in (float("inf"), -float("inf"), 10**40):
            return True
        return not validator.is_valid(value)

    return [value for value in WRONG if wrong(value)]


@st.composite
def wrong_values(draw: st.DrawFn) -> Broken:
    """A value of another kind or out of its range, at any key."""
    place, part = draw(st.sampled_from(PARTS))
    value = draw(st.sampled_from(wrong_for(part)))
    return of(at(place, value), dotted(place))


@st.composite
def unknown_keys(draw: st.DrawFn) -> Broken:
    """A key that no section has: a slip in one that it has, or anything."""
    place, section = draw(st.sampled_from(SECTIONS))
    known = list(section["properties"])
    name = draw(st.sampled_from(known))
    spot = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from("xq_-"))
    slip = draw(
        st.sampled_from(
            [
                name[:spot] + name[spot + 1 :],
                name[:spot] + letter + name[spot:],
                name[:spot] + letter + name[spot + 1 :],
                name.upper(),
                draw(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]))),
            ]
        ).filter(lambda key: key not in known)
    )
    return of(at((*place, slip), draw(st.sampled_from([None, 1, "text", []]))), "config key")


@st.composite
def odd_keys(draw: st.DrawFn) -> Broken:
    """A key that is no text, or text that no terminal should see."""
    free = [place for place, part in PARTS if "additionalProperties" in part]
    place = draw(st.sampled_from([(), *free]))
    key = draw(
        st.sampled_from([1, 2.5, None, True, datetime.date(2026, 1, 1), "a\nb", "\x1b[2J", "\x00"])
    )
    return of(at((*place, key), draw(st.sampled_from([None, "a", 1, {}]))), "config key")


PATTERNS = st.sampled_from(
    ["*/npo_gdr/lorra", "lora", "*/*/*/*", "news/lora", "*/simnpo/*", "", "*/*/LORA", "[!a"]
)


@st.composite
def patterns_of_nothing(draw: st.DrawFn) -> Broken:
    """Overrides, sweeps and choices whose pattern can match no run."""
    pattern = draw(PATTERNS)
    numbers = draw(st.integers(0, 99))
    place, value = draw(
        st.sampled_from(
            [
                (("unlearn", "overrides"), {"lr": 1.0 + numbers}),
                (("sweep",), {"lr": [1.0 + numbers]}),
                (("selection", "fixed"), f"lr1e-{numbers}"),
            ]
        )
    )
    return of(at((*place, pattern), value), f"'{dotted(place)}'", "can match no run")


TEXTS: list[tuple[Callable[[str], bytes], tuple[str, ...], bool]] = [
    (lambda word: f"experiment: [{word}".encode(), ("no valid YAML",), False),
    (lambda word: f"experiment: '{word}".encode(), ("no valid YAML",), False),
    (lambda word: f"experiment:\t{word}\n\tseeds: [0]".encode(), ("no valid YAML",), False),
    (lambda word: f"experiment: *{word}".encode(), ("no valid YAML",), False),
    (lambda word: f"? [{word}]\n: 1".encode(), ("no valid YAML",), False),
    (lambda word: f"experiment: !{word} x".encode(), ("no valid YAML",), False),
    (lambda word: f"- {word}".encode(), ("has no keys",), False),
    (lambda word: word.encode(), ("has no keys",), False),
    (lambda word: f"# {word}\n".encode(), ("has no keys",), False),
    (lambda word: f'"{word}"'.encode(), ("has no keys",), False),
    (lambda word: f"experiment: {word}\0".encode(), ("no valid YAML",), False),
    (lambda word: f"experiment: {word}\xff".encode("latin-1"), ("not UTF-8",), False),
    (lambda word: f"experiment: {word}".encode("utf-16"), ("not UTF-8",), False),
    (lambda word: f"{word}: {'[' * 3000}{']' * 3000}".encode(), ("nested too deep",), False),
    (lambda word: f"{word}: {'{a: ' * 50}1{'}' * 50}".encode(), ("nested too deep",), True),
    (lambda word: f"experiment: {word}\nexperiment: b".encode(), ("twice",), True),
    (lambda word: f"evaluate: {{shots: 1, shots: 2}} #{word}".encode(), ("twice",), True),
    (lambda word: f'{{"experiment": "{word}", "experiment": "b"}}'.encode(), ("twice",), True),
    (lambda word: f'{{"experiment": "{word}\\u0000"}}'.encode(), ("experiment",), True),
    (lambda word: f'{{"experiment": "{word}\\ud800"}}'.encode(), ("experiment",), True),
    (lambda word: f'{{"seeds": [1{"0" * 4000}], "#": "{word}"}}'.encode(), ("seeds.0",), True),
    (lambda word: f'{{"seeds": [1{"0" * 5000}], "#": "{word}"}}'.encode(), (), False),
    (lambda word: f"seeds: [1_{'0' * 30}] #{word}".encode(), ("seeds.0",), True),
    (lambda word: f"seeds: 2026-01-01 #{word}".encode(), ("seeds",), True),
    (lambda word: f"seeds: &a [*a] #{word}".encode(), ("seeds",), True),
    (lambda word: f"experiment: {word}: b".encode(), ("no valid YAML",), False),
    (lambda word: f"experiment: !!binary {word}==".encode(), ("experiment",), True),
    (lambda word: f"experiment: yes #{word}".encode(), ("experiment",), True),
    (lambda word: f"<<: {{experimnt: {word}}}".encode(), ("experimnt",), True),
    (lambda word: f"__use_yte__: true\nexperiment: {word}".encode(), ("__use_yte__",), True),
    (lambda word: f"__variables__: {{}}\nexperiment: {word}".encode(), ("__variables__",), True),
    (
        lambda word: (
            f"a: &a [{word},{word}]\n"
            + "".join(f"{b}: &{b} [{','.join(f'*{a}' for _ in range(9))}]\n"
                      for a, b in zip("abcdefghi", "bcdefghij", strict=True))
        ).encode(),
        ("config",),
        False,
    ),
]  # fmt: skip


@st.composite
def odd_files(draw: st.DrawFn) -> Broken:
    """Files that are no YAML, no sections, or YAML that means something else."""
    make, words, ours = draw(st.sampled_from(TEXTS))
    word = draw(
        st.from_regex(r"[a-z]{4,8}", fullmatch=True).filter(lambda word: len(word) % 4 == 0)
    )
    return Broken(make(word), words, ours)


def valid_for(part: Json) -> SearchStrategy[Any]:
    """Values that the schema's part has."""
    if "enum" in part:
        return st.sampled_from(part["enum"])
    if "anyOf" in part:
        return st.one_of([valid_for(one) for one in part["anyOf"]])
    kind = part["type"] if isinstance(part["type"], str) else part["type"][0]
    low = part.get("minimum", part.get("exclusiveMinimum", 0))
    if kind == "integer":
        return st.integers(low, part.get("maximum", 2**31 - 1))
    if kind == "number":
        return st.floats(
            low,
            part.get("maximum", part.get("exclusiveMaximum", 1e30)),
            exclude_min="exclusiveMinimum" in part,
            exclude_max="exclusiveMaximum" in part,
        )
    if kind == "boolean":
        return st.booleans()
    if kind == "array":
        items = valid_for(part["items"])
        return st.lists(items, min_size=part.get("minItems", 0), max_size=3, unique=True)
    if kind == "object":
        return st.just({})
    return st.sampled_from(["news", "books", "a-b_C1", "bf16", "nf4", "a folder"])


@st.composite
def valid_values(draw: st.DrawFn) -> Json:
    """A configuration of up to four values, each right as far as the schema says."""
    values: Json = {}
    plain = [(place, part) for place, part in PARTS if "properties" not in part]
    for place, part in draw(st.lists(st.sampled_from(plain), min_size=1, max_size=4)):
        values = over(values, at(place, draw(valid_for(part))))
    return values
