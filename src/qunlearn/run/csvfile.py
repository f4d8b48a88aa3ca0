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


def read_rows(
    path: Path, columns: Sequence[str], command: str, *, may_be_empty: bool = False
) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file with exactly these columns, each with its line number.

    Args:
        path: the file.
        columns: its header.
        command: what makes such a file, for the remedy in an error message.
        may_be_empty: whether a header alone is a complete file.

    Raises:
        InputError: the file is missing, is not UTF-8, has another header, a row of another length,
            or no row.
    """
    header, *rows = list(csv.reader(io.StringIO(read_text(path), newline=""))) or [[]]
    lengths = [len(row) == len(columns) for row in rows]
    problem = None
    if header != list(columns):
        problem = f"the first line must be {','.join(columns)}"
    elif not rows and not may_be_empty:
        problem = "no rows"
    elif not all(lengths):
        line = lengths.index(False)
        problem = f"line {line + 2} has {len(rows[line])} fields, not {len(columns)}"
    if problem:
        raise InputError(f"{path}: {problem}; {command} again")
    return [(line, dict(zip(columns, row, strict=True))) for line, row in enumerate(rows, start=2)]
