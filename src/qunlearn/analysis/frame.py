"""The tables of an experiment: the columns of each, and how they are checked.

Where a number is missing there is a word for the reason: `diverged`, `undefined`, or, for a test
that takes three seeds, `one seed` or `two seeds`. Its interval and its n are then empty.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.experiment.names import DIVERGED, UNDEFINED
from qunlearn.run.csvfile import Value, as_csv, read_rows, write_rows
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import too_few

WORDS = (DIVERGED, UNDEFINED, too_few(1), too_few(2))


@dataclass(frozen=True)
class Schema:
    """The form of one table.

    Attributes:
        columns: each with its type: str, int, or float for a number or a word of WORDS.
        key: the columns that tell one row from another.
        command: what makes such a table, for error messages.
        number: the table's main number and what stands beside it; all are empty where it is a word.
        may_be_empty: whether a header alone is a complete table.
    """

    columns: Mapping[str, type]
    key: tuple[str, ...]
    command: str
    number: tuple[str, ...] = ()
    may_be_empty: bool = False

    def text(self, rows: Iterable[Sequence[Value]]) -> str:
        """The table as CSV."""
        return as_csv(list(self.columns), rows)

    def write(self, path: Path, rows: Iterable[Sequence[Value]]) -> None:
        """Write `rows` in their order: the same bytes for the same numbers."""
        write_rows(path, list(self.columns), rows)

    def read(self, path: Path) -> pd.DataFrame:
        """The table with its numbers parsed, in its order, indexed by line number.

        A cell without a number is a word, or None where it is empty.

        Raises:
            InputError: the file is missing or empty, has other columns, a row does not parse, or
                two rows have the same key.
        """
        rows = dict(
            read_rows(path, list(self.columns), self.command, may_be_empty=self.may_be_empty)
        )
        parsed = []
        for line, row in rows.items():
            try:
                parsed.append(list(self._parse(row)))
            except ValueError as error:
                raise InputError(
                    f"{path}: line {line} does not parse ({error}); {self.command} again"
                ) from error
        found = pd.DataFrame(parsed, list(rows), list(self.columns), dtype=object)
        for line in found.index[found.duplicated(list(self.key))]:
            name = "/".join(part for column in self.key if (part := rows[line][column]))
            raise InputError(
                f"{path}: line {line} repeats {name}; {self.command} for one experiment at a time"
            )
        return found

    def rows(self, path: Path) -> Iterator[Any]:
        """The rows of `read` as tuples with named fields, `Index` being the line number."""
        yield from self.read(path).itertuples(name="Row")

    def _parse(self, row: Mapping[str, str]) -> Iterator[Value]:
        number = [row[column] for column in self.number]
        if number:
            filled = [bool(text) for text in number]
            if filled != [True] + [number[0] not in WORDS] * (len(number) - 1):
                raise ValueError(f"{', '.join(self.number)} are {', '.join(number)}")
        for column, kind in self.columns.items():
            text = row[column]
            if kind is str:
                yield text
            elif text == "":
                yield None
            elif kind is float and text in WORDS:
                yield text
            else:
                value = kind(text)
                if not math.isfinite(value):
                    raise ValueError(f"{column} is {text}")
                yield value


def columns(text: str) -> dict[str, type]:
    """`corpus seed:int value:float` as the columns of a `Schema`; str where no type is given."""
    types = {"": str, "int": int, "float": float}
    parts = (part.partition(":") for part in text.split())
    return {name: types[kind] for name, _, kind in parts}


METRICS_TABLE = Schema(
    columns(
        "experiment corpus objective adapter seed:int precision metric "
        "value:float ci_low:float ci_high:float n:int"
    ),
    ("corpus", "objective", "adapter", "seed", "precision", "metric"),
    "collect the metrics",
    ("value", "ci_low", "ci_high", "n"),
)
SUMMARY_TABLE = Schema(
    columns(
        "experiment corpus objective adapter precision metric "
        "value:float ci_low:float ci_high:float n:int seeds:int diverged:int undefined:int note"
    ),
    ("corpus", "objective", "adapter", "precision", "metric"),
    "summarise",
    ("value", "ci_low", "ci_high", "n"),
)
TESTS_TABLE = Schema(
    columns(
        "experiment corpus family metric objective adapter_a precision_a adapter_b precision_b "
        "difference:float ci_low:float ci_high:float p:float p_holm:float effect_dz:float "
        "minimum_effect:float n:int seeds:int note"
    ),
    (
        *("corpus", "family", "metric", "objective"),
        *("adapter_a", "precision_a", "adapter_b", "precision_b"),
    ),
    "test the differences",
    ("difference", "ci_low", "ci_high", "n"),
    may_be_empty=True,
)
CLAIMS_TABLE = Schema(
    columns(
        "claim corpus objective scope precision metric verdict "
        "value:float ci_low:float ci_high:float p:float n:int minimum_effect:float reason"
    ),
    ("claim", "corpus", "objective", "scope", "precision", "metric"),
    "judge the claims",
    may_be_empty=True,
)
MECHANISM_NUMBERS = (
    *("relative_norm", "moved", "rounding_error", "zero_bin", "zero_bin_moved"),
    *("flips_predicted", "flips_fixed", "flips_adaptive", "cosine_fixed", "cosine_adaptive"),
    *("projection_fixed", "projection_adaptive", "error_fixed", "error_adaptive"),
)
MECHANISM_TABLE = Schema(
    {
        **columns("corpus objective adapter seed:int precision"),
        **dict.fromkeys(MECHANISM_NUMBERS, float),
        **columns("reversion_nll_forget:float ci_low:float ci_high:float n:int"),
    },
    ("corpus", "objective", "adapter", "seed", "precision"),
    "make the mechanism tables",
    ("reversion_nll_forget", "ci_low", "ci_high", "n"),
    may_be_empty=True,
)
