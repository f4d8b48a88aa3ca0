"""What a model said and scored: one line an item, enough to compute every metric again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl

Record = dict[str, Any]

VERBMEM = "verbmem.jsonl"
KNOWMEM_FORGET = "knowmem_forget.jsonl"
KNOWMEM_RETAIN = "knowmem_retain.jsonl"
PRIVLEAK = "privleak.jsonl"
FIELDS = {
    VERBMEM: ("id", "prompt", "output", "reference", "rougeL"),
    KNOWMEM_FORGET: ("id", "question", "output", "reference", "rougeL"),
    KNOWMEM_RETAIN: ("id", "question", "output", "reference", "rougeL"),
    PRIVLEAK: ("id", "split", "tokens", "nll_sum", "min_k"),
}


def read(path: Path, kind: str, *, empty: bool = False) -> list[Record]:
    """Read a file of records; `kind` is the name in `FIELDS` that tells what it must hold.

    Args:
        empty: whether it may have no record, since the corpus has no such items.

    Raises:
        InputError: it is missing, does not parse, has no record or a record lacks a field.
    """
    records = read_jsonl(path)
    if not records and not empty:
        raise InputError(f"{path}: no records; evaluate the model again")
    for number, record in enumerate(records, start=1):
        if missing := [name for name in FIELDS[kind] if name not in record]:
            raise InputError(f"{path}: line {number} lacks {missing[0]}; evaluate the model again")
    return records


def of_split(records: Sequence[Record], split: str, field: str) -> list[Any]:
    """A field of the PrivLeak records of one split."""
    return [record[field] for record in records if record["split"] == split]
