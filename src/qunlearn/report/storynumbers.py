"""The tables that the report's start page is made from."""

import csv
from pathlib import Path

from qunlearn.run.errors import InputError


def read_table(path: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a CSV file; none where everything diverged.

    Raises:
        InputError: the file is missing, is not UTF-8, or lacks one of `columns`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make the table first") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; make it again") from error
    for column in columns:
        if column not in (reader.fieldnames or ()):
            raise InputError(f"{path}: no column '{column}'; make the table again")
    return rows
