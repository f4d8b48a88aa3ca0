"""The folder layout that every corpus ends in: the one of the MUSE benchmark, plus one file.

All files are JSON lists. A list that a source cannot give (`text` without questions) is empty and
has no file; what is measured follows from the lists that are there. The addition is
`raw/pretrain.json`: the generic text that a base model trained from scratch learns the language
from. A corpus for a given base has no need of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # typing's own is not enough for pydantic before 3.12

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import read_manifest

PRETRAIN = "raw/pretrain.json"


def _filled(texts: list[str]) -> list[str]:
    if not "".join(texts).strip():
        raise ValueError("blank")
    return texts


Text = Annotated[str, Field(pattern="")]  # with a pattern, half of a surrogate pair is refused
Filled = Annotated[str, Field(pattern=r"\S")]


class Card(TypedDict):
    """A question about one fact, with its answer."""

    question: Filled
    answer: Filled


class Continuation(TypedDict):
    """A text to be continued, and how it continues (`gt`: the benchmark's name for it)."""

    prompt: Filled
    gt: Filled


Texts = Annotated[list[Text], AfterValidator(_filled)]
"""Of `raw`: single ones may be blank (the benchmark's news corpus has one), but not all."""
RAW = ("forget", "retain1", "retain2", "holdout", "pretrain")
KNOWMEM = ("forget_qa", "forget_qa_icl", "retain_qa", "retain_qa_icl")
PRIVLEAK = ("forget", "retain", "holdout")
FILES: dict[str, Any] = (
    {f"raw/{name}.json": Texts for name in RAW}
    | {f"knowmem/{name}.json": list[Card] for name in KNOWMEM}
    | {"verbmem/forget.json": list[Continuation]}
    | {f"privleak/{name}.json": list[Filled] for name in PRIVLEAK}
)
"""Path -> what it holds; no file has an empty list."""


@dataclass(frozen=True)
class Corpus:
    """A corpus in memory; every dict is keyed by file name without its ending, and has all keys."""

    # Texts to train on, of which the regulariser has `retain1` and not `retain2`, and `pretrain`
    # may be empty; and `holdout`, never trained on.
    raw: dict[str, list[str]]
    knowmem: dict[str, list[Card]]  # questions, and in-context examples for them (`…_icl`)
    verbmem: dict[str, list[Continuation]]  # `forget`
    privleak: dict[str, list[str]]  # `forget`, `retain`, `holdout`

    def items(self, file: str) -> list[Any]:
        """The items of one of `FILES`."""
        part, name = split_name(file)
        found: list[Any] = getattr(self, part)[name]
        return found


def split_name(file: str) -> tuple[str, str]:
    """`raw` and `forget` of `raw/forget.json`."""
    part, name = file.removesuffix(".json").split("/")
    return part, name


def load(folder: Path, *, pretrain: bool = False) -> Corpus:
    """Read a corpus folder and check every item of it.

    A user's folder must have all lists but `raw/pretrain`; one that the workflow made has those
    that its source gave.

    Args:
        pretrain: whether `raw/pretrain.json` must be there.

    Raises:
        InputError: the folder or a file is missing, is not UTF-8 JSON, or as `collect` does.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give the folder that holds raw/, knowmem/, …")
    needed = set() if read_manifest(folder) else {*FILES} - {PRETRAIN}
    needed |= {PRETRAIN} if pretrain else set()
    wanted = [name for name in FILES if name in needed or (folder / name).exists()]
    return collect(wanted, lambda file: read_json(folder / file), f"{folder}/")


def collect(files: list[str], read: Callable[[str], Any], where: str) -> Corpus:
    """A corpus out of the items of each file, every one of them checked.

    Args:
        files: those of `FILES` that are there; the lists of all others are empty.
        where: what comes before the path of a file in messages.

    Raises:
        InputError: a file does not hold a list with items, or an item is not as `FILES` has it.
    """
    parts: dict[str, Any] = {}
    for file in FILES:
        part, name = split_name(file)
        parts.setdefault(part, {})[name] = []
    for file in files:
        part, name = split_name(file)
        kind: Any = Annotated[FILES[file], Field(min_length=1)]
        try:
            items = TypeAdapter(kind).validate_python(read(file), strict=True)
        except ValidationError as error:
            fault = error.errors(include_input=False)[0]
            place = ", ".join(f"item {x}" if isinstance(x, int) else x for x in fault["loc"])
            raise InputError(
                f"{where}{file}: {place}: {fault['msg']}; mend it, or drop the item"
            ) from None
        parts[part][name] = items
    return Corpus(**parts)


def write(folder: Path, corpus: Corpus) -> None:
    """Write `corpus` into `folder`; an empty list gets no file."""
    for file in FILES:
        if items := corpus.items(file):
            write_json(folder / file, items)
