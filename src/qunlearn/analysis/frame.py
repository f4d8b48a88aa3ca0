"""The tables of an experiment: the columns of each, and how they are read.

Where a number is missing there is a word for the reason: `diverged`, `undefined`, or, for a test
that takes three seeds, `one seed` or `two seeds`. Its interval and its n are then empty.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.experiment.names import DIVERGED, UNDEFINED
from qunlearn.run.csvfile import Value, read_rows
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import too_few

WORDS = (DIVERGED, UNDEFINED, too_few(1), too_few(2))
_RUN = ("experiment", "corpus", "objective", "adapter", "seed", "precision")
_METRIC = ("metric", "value", "ci_low", "ci_high", "n")
METRICS_TABLE = (*_RUN, *_METRIC)
SUMMARY_TABLE = (*_RUN[:4], "precision", *_METRIC, "seeds", "diverged", "undefined", "note")
TESTS_TABLE = (
    *("experiment", "corpus", "family", "metric", "objective"),
    *("adapter_a", "precision_a", "adapter_b", "precision_b", "difference", "ci_low", "ci_high"),
    *("p", "p_holm", "effect_dz", "minimum_effect", "n", "seeds", "note"),
)
CLAIMS_TABLE = (
    *("claim", "corpus", "objective", "scope", "precision", "metric", "verdict"),
    *("value", "ci_low", "ci_high", "p", "n", "minimum_effect", "reason"),
)
MECHANISM_NUMBERS = (
    *("relative_norm", "moved", "rounding_error", "zero_bin", "zero_bin_moved"),
    *("flips_predicted", "flips_fixed", "flips_adaptive", "cosine_fixed", "cosine_adaptive"),
    *("projection_fixed", "projection_adaptive", "error_fixed", "error_adaptive"),
)
MECHANISM_KEY = _RUN[1:]
MECHANISM_TABLE = (
    *(*MECHANISM_KEY, *MECHANISM_NUMBERS),
    *("reversion_nll_forget", "ci_low", "ci_high", "n"),
)
FORECAST_TABLE = (*MECHANISM_KEY, "lr", "moved", "zero_bin", "ratio", "projection", "verdict")
SCORED_TABLE = (
    *(*FORECAST_TABLE, "nll_forget_bf16", "reversion_nll_forget", "ci_low", "ci_high"),
    *("reversion_verbmem", "reversion_knowmem", "forecast_sha256"),
)
INTEGERS = {"seed", "n", "seeds", "diverged", "undefined"}
FLOATS = {"value", "difference", "p", "p_holm", "effect_dz", "minimum_effect", *MECHANISM_NUMBERS}
FLOATS |= {"ci_low", "ci_high", "lr", "ratio", "projection", "nll_forget_bf16"}
FLOATS |= {f"reversion_{name}" for name in ("nll_forget", "verbmem", "knowmem")}


def read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table in its order; a cell without a number is a word, or None where it is empty.

    Raises:
        InputError: the file is missing, has other columns, or a row does not parse.
    """
    found = read_rows(path, columns, "make the table")
    try:
        parsed = [[_parse(name, row[name]) for name in columns] for row in found]
    except ValueError as error:
        raise InputError(f"{path}: does not parse ({error}); make the table again") from error
    return pd.DataFrame(parsed, columns=list(columns), dtype=object)


def rows(path: Path, columns: Sequence[str]) -> Iterator[Any]:
    """The rows of `read` as tuples with named fields."""
    yield from read(path, columns).itertuples(index=False, name="Row")


def select(found: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows of a table that have these values in these columns."""
    return found[(found[list(values)] == list(values.values())).all(axis=1)]


def _parse(name: str, text: str) -> Value:
    if name not in INTEGERS | FLOATS or text in WORDS:
        return text
    return (int if name in INTEGERS else float)(text) if text else None
