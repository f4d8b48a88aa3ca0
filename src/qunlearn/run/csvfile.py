"""CSV files as the experiment writes and reads them: one form, one set of complaints."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_text, write_text

Value = str | int | float | None


def digits(number: float) -> str:
    """Six significant digits; the sum makes a negative zero positive."""
    return format(number + 0.0, ".6g")


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> str:
    """A header and rows: floats with six significant digits, None as an empty field.

    The same numbers give the same bytes.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(digits(value) if isinstance(value, float) else value for value in row)
    return stream.getvalue()


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> None:
    """Write what `as_csv` makes of `rows`."""
    write_text(path, as_csv(columns, rows))


def read_rows(path: Path, columns: Sequence[str], command: str) -> list[dict[str, str]]:
    """The rows of a CSV file with exactly these columns, which `command` makes.

    Raises:
        InputError: the file is missing, is not UTF-8, has another header or a row of another
            length.
    """
    header, *rows = list(csv.reader(io.StringIO(read_text(path), newline=""))) or [[]]
    if header != list(columns):
        raise InputError(f"{path}: the first line must be {','.join(columns)}; {command} again")
    if any(len(row) != len(columns) for row in rows):
        raise InputError(f"{path}: a line does not have {len(columns)} fields; {command} again")
    return [dict(zip(columns, row, strict=True)) for row in rows]
