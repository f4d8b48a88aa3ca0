"""Two runs of one experiment: which numbers differ, by how much, and where the runs part.

Numbers of one experiment differ between processors and versions of packages, in the last digit or
through another path of training. The tables' own 95 % intervals are the yardstick: a number is
*within* noise where it moved by no more than half the wider interval of the two, or by what one of
its n items can do. That is a coarse rule, made to find what is broken; it is no test.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from qunlearn.analysis.frame import (
    CLAIMS_TABLE,
    MECHANISM_TABLE,
    METRICS_TABLE,
    SUMMARY_TABLE,
    TESTS_TABLE,
    key_of,
)
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

EQUAL = 1e-5
"""Relative difference below which two numbers print alike."""
VERDICTS = ("identical", "equal", "within", "outside", "missing")
MEASURED = ("relative_norm", "moved", "zero_bin", "zero_bin_moved", "projection_fixed")
TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "metrics.csv": (METRICS_TABLE, ("value",)),
    "summary.csv": (SUMMARY_TABLE, ("value",)),
    "tests.csv": (TESTS_TABLE, ("difference",)),
    "claims.csv": (CLAIMS_TABLE, ("verdict",)),
    "mechanism.csv": (MECHANISM_TABLE, MEASURED),
}
"""The columns of each table of an experiment, and those that are compared."""
FLOOR = 0.1  # what one of MEASURED may move by; it has no interval of its own
ITEM = {"verbmem": 100.0, "knowmem": 100.0, "utility": 100.0, "privleak": 100.0, "auc": 1.0}
"""What one item can add to a metric times n."""
SMOOTH = 0.25  # nats; NLL and reversions, on which no single item weighs much


def compare(first: Path, second: Path) -> pd.DataFrame:
    """Every number of the tables of two runs, or of two folders of tables.

    Args:
        first, second: `results/<experiment>`, or a folder with tables of that run.

    Returns:
        Columns `table`, `row` (its index, joined by /), `column`, `first`, `second`, `verdict`:
        one of VERDICTS; `missing` where only one run has the row.

    Raises:
        InputError: a folder has no table in common with the other.
    """
    folders = [path / "tables" if (path / "tables").is_dir() else path for path in (first, second)]
    found = [
        _compare(name, *(folder / name for folder in folders))
        for name in TABLES
        if all((folder / name).exists() for folder in folders)
    ]
    if not found:
        raise InputError(
            f"{first} and {second}: no table in common; give the results of two finished runs"
        )
    return pd.concat(found, ignore_index=True)


def parting(first: Path, second: Path) -> str | None:
    """The earliest folder of the first run whose files have other bytes in the second.

    Read from the manifests, in the order in which the first run's were written.
    """
    manifests = sorted(first.rglob(MANIFEST), key=lambda file: file.stat().st_mtime_ns)
    for file in manifests:
        other = second / file.relative_to(first)
        if other.exists() and read_json(file)["outputs"] != read_json(other)["outputs"]:
            return file.parent.relative_to(first).as_posix()
    return None


def summarize(found: pd.DataFrame) -> str:
    """The comparison in Markdown: a count of each verdict per table, then what is outside."""
    counts = pd.crosstab(found["table"], found["verdict"]).reindex(
        columns=list(VERDICTS), fill_value=0
    )
    parts = [counts.to_markdown()]
    apart = found[found["verdict"].isin(["outside", "missing"])]
    if len(apart):
        parts += ["Outside noise, or in one run only:", apart.to_markdown(index=False)]
    return "\n\n".join(parts) + "\n"


def _compare(name: str, first: Path, second: Path) -> pd.DataFrame:
    whole, columns = TABLES[name]
    one, two = (
        pd.read_csv(path, dtype=str, keep_default_na=False).set_index(key_of(whole))
        for path in (first, second)
    )
    rows = one.index.union(two.index, sort=False)
    a, b = one.reindex(rows), two.reindex(rows)
    found = pd.DataFrame({"table": name, "row": ["/".join(filter(None, row)) for row in rows]})
    parts = [
        found.assign(column=column, first=a[column].array, second=b[column].array)
        .assign(verdict=_verdicts(a, b, column))
        .fillna("")
        for column in columns
    ]
    return pd.concat(parts).sort_index(kind="stable", ignore_index=True)


def _verdicts(a: pd.DataFrame, b: pd.DataFrame, column: str) -> Any:
    """[rows] verdicts; `a` and `b` have the same rows, NaN where a run has none."""

    def numbers(table: pd.DataFrame, name: str) -> Any:
        return pd.to_numeric(table[name], errors="coerce").to_numpy(float)

    x, y = numbers(a, column), numbers(b, column)
    apart = abs(x - y)  # NaN where a run has a word, such as `diverged`
    if column in MEASURED:
        noise = np.full_like(x, FLOOR)
    else:
        weights = a.index.get_level_values("metric").map(ITEM).to_numpy(float)
        noise = np.where(np.isnan(weights), SMOOTH, weights / numbers(a, "n"))
        for table in (a, b):
            width = numbers(table, "ci_high") - numbers(table, "ci_low")
            noise = np.fmax(noise, width / 2)
    return np.select(
        [
            a[column].isna() | b[column].isna(),
            a[column] == b[column],
            apart <= EQUAL * np.maximum(abs(x), abs(y)),
            apart <= noise,
        ],
        ["missing", "identical", "equal", "within"],
        "outside",
    )
