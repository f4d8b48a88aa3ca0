"""Reading the CSV files of an experiment, with a complaint that names file and line."""

import csv
from collections.abc import Sequence
from pathlib import Path

from qunlearn.run.errors import InputError


def read_rows(
    path: Path, columns: Sequence[str], command: str, *, may_be_empty: bool = False
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with just these columns, each with its line number.

    Args:
        path: the file.
        columns: its header.
        command: what makes such a file, as the user is told where it is at fault.
        may_be_empty: whether a header alone is a whole file.

    Raises:
        InputError: the file is missing, is not UTF-8, has another header, a row of another length,
            or no row.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {command} first") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; {command} again") from error
    if not rows or rows[0] != list(columns):
        raise InputError(f"{path}: the first line must be {','.join(columns)}; {command} again")
    if len(rows) == 1 and not may_be_empty:
        raise InputError(f"{path}: no rows; {command} at least one cell")
    numbered = list(enumerate(rows[1:], start=2))
    for line, row in numbered:
        if len(row) != len(columns):
            raise InputError(
                f"{path}: line {line} has {len(row)} fields, not {len(columns)}; {command} again"
            )
    return [(line, dict(zip(columns, row, strict=True))) for line, row in numbered]
