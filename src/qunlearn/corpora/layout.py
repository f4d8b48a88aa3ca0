"""The folder layout that every corpus ends in: the one of the MUSE benchmark, plus one file.

All files are JSON lists. The addition is `raw/pretrain.json`: the generic text that a base model
trained from scratch learns the language from. A corpus for a given base has no need of it. Two
folders of the benchmark may be absent: `scal`, forget sets of growing size, and `sust`, forget sets
that are to be unlearned one after the other.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict, cast

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json

PRETRAIN = "raw/pretrain.json"

FILES: dict[str, tuple[str, ...]] = {
    "raw/forget.json": (),
    "raw/retain1.json": (),
    "raw/retain2.json": (),
    "raw/holdout.json": (),
    PRETRAIN: (),
    "knowmem/forget_qa.json": ("question", "answer"),
    "knowmem/forget_qa_icl.json": ("question", "answer"),
    "knowmem/retain_qa.json": ("question", "answer"),
    "knowmem/retain_qa_icl.json": ("question", "answer"),
    "verbmem/forget.json": ("prompt", "gt"),
    "privleak/forget.json": (),
    "privleak/retain.json": (),
    "privleak/holdout.json": (),
}
"""Path -> the fields of each item; no fields: the items are strings."""

OPTIONAL: dict[str, tuple[str, ...]] = {
    part: tuple(f"{part}/forget_{number}.json" for number in (1, 2, 3, 4))
    for part in ("scal", "sust")
}
"""Folder that may be absent -> the files, all lists of strings, that it holds if it is there."""


class Card(TypedDict):
    """A question about one fact, with its answer."""

    question: str
    answer: str


class Continuation(TypedDict):
    """A text to be continued, and how it continues (`gt`: the benchmark's name for it)."""

    prompt: str
    gt: str


@dataclass(frozen=True)
class Corpus:
    """A corpus in memory; every dict is keyed by file name without its ending.

    Attributes:
        raw: texts to train on: `forget`, `retain1` (also the regulariser's), `retain2` (not the
            regulariser's), `pretrain` (may be empty); and `holdout`, never trained on.
        knowmem: `forget_qa`, `retain_qa` and the in-context examples `forget_qa_icl`,
            `retain_qa_icl`.
        verbmem: `forget`.
        privleak: `forget`, `retain`, `holdout`.
        scal: forget sets of growing size, `forget_1` to `forget_4`, or nothing.
        sust: forget sets to be unlearned in turn, `forget_1` to `forget_4`, or nothing.
    """

    raw: dict[str, list[str]]
    knowmem: dict[str, list[Card]]
    verbmem: dict[str, list[Continuation]]
    privleak: dict[str, list[str]]
    scal: dict[str, list[str]] = field(default_factory=dict)
    sust: dict[str, list[str]] = field(default_factory=dict)


def verify(folder: Path, *, pretrain: bool = False) -> Corpus:
    """Read a corpus folder and check every item of it.

    Args:
        folder: the corpus.
        pretrain: whether `raw/pretrain.json` must be there.

    Raises:
        InputError: a file is missing, is not UTF-8 JSON or not a list with items; an item has
            another form than the layout's; a field is blank. Single texts in `raw`, `scal` and
            `sust` may be blank (the benchmark's news corpus has one), but not all of a file.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that holds raw/, knowmem/, …")
    parts: dict[str, dict[str, list[Any]]] = {}
    for name, fields in FILES.items():
        part, stem = name.removesuffix(".json").split("/")
        absent = name == PRETRAIN and not pretrain and not (folder / name).exists()
        items = [] if absent else _read_items(folder / name, fields, blanks=part == "raw")
        parts.setdefault(part, {})[stem] = items
    for part, names in OPTIONAL.items():
        if (folder / part).exists():
            parts[part] = {
                Path(name).stem: _read_items(folder / name, (), blanks=True) for name in names
            }
    return Corpus(**cast(dict[str, Any], parts))


def load(folder: Path) -> Corpus:
    """Read a corpus folder, with or without `raw/pretrain.json`.

    Raises:
        InputError: as `verify` does.
    """
    return verify(folder)


def write(folder: Path, corpus: Corpus) -> None:
    """Write `corpus` into `folder`; an empty `raw/pretrain`, `scal` or `sust` gets no file."""
    for name in FILES:
        part, stem = name.removesuffix(".json").split("/")
        items = getattr(corpus, part)[stem]
        if items or name != PRETRAIN:
            write_json(folder / name, items)
    for part in OPTIONAL:
        for stem, items in getattr(corpus, part).items():
            write_json(folder / part / f"{stem}.json", items)


def _read_items(path: Path, fields: tuple[str, ...], *, blanks: bool) -> list[Any]:
    items = read_json(path)
    if not isinstance(items, list):
        raise InputError(f"{path}: holds a {type(items).__name__}; write a JSON list")
    if not items:
        raise InputError(f"{path}: the list is empty; give at least one item")
    for index, item in enumerate(items):
        if not fields:
            _check_text(item, f"{path}: item {index}", blanks=blanks)
            continue
        if not isinstance(item, dict):
            raise InputError(
                f"{path}: item {index} is a {type(item).__name__}; "
                f"write an object with {' and '.join(fields)}"
            )
        for name in fields:
            if name not in item:
                raise InputError(f"{path}: item {index} has no field {name!r}; add it")
            _check_text(item[name], f"{path}: item {index}, field {name!r}", blanks=False)
    if blanks and not any(item.strip() for item in items):
        raise InputError(f"{path}: every text is blank; give at least one with words")
    return items


def _check_text(value: Any, where: str, *, blanks: bool) -> None:
    if not isinstance(value, str):
        raise InputError(f"{where} is a {type(value).__name__}; write a string")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{where} has half a character at {error.start}, {value[error.start]!a}; write it whole"
        ) from None
    if not blanks and not value.strip():
        raise InputError(f"{where} is blank; fill it or drop the item")
