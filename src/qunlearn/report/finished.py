"""The CSV tables of a finished run, as text."""

from pathlib import Path

import pandas as pd

from qunlearn.run.errors import InputError


def read_table(path: Path, *columns: str) -> pd.DataFrame:
    """A CSV file, every cell as text; it has no rows where everything diverged.

    Raises:
        InputError: the file is missing, is not a CSV file in UTF-8, or lacks one of `columns`.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; make the table first") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 at byte {error.start}; make it again") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        raise InputError(f"{path}: not a CSV file ({error}); make it again") from error
    for column in columns:
        if column not in frame:
            raise InputError(f"{path}: no column '{column}'; make the table again")
    return frame
