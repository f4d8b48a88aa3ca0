"""Two runs of one experiment: which numbers differ, by how much, and where the runs part.

Numbers of one experiment differ between processors and versions of packages, in the last digit or
through another path of training. The tables' own 95 % intervals are the yardstick: a number is
*within* noise where it moved by no more than half the wider interval of the two, or by what one of
its n items can do. That is a coarse rule, made to find what is broken; it is no test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from qunlearn.analysis.frame import (
    CLAIMS_TABLE,
    MECHANISM_TABLE,
    METRICS_TABLE,
    SUMMARY_TABLE,
    TESTS_TABLE,
    Schema,
)
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

EQUAL = 1e-5
"""Relative difference below which two numbers print alike."""
VERDICTS = ("identical", "equal", "within", "outside", "missing")


@dataclass(frozen=True)
class Compared:
    """How the rows of a table of two runs are compared.

    Attributes:
        schema: its key matches the rows.
        numbers: columns to compare; `value` and `difference` have the interval beside them.
        words: columns that must be the same text.
        floor: what a number may move by where it has no interval of its own.
    """

    schema: Schema
    numbers: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    floor: float = 0.0


TABLES = {
    "metrics.csv": Compared(METRICS_TABLE, ("value",)),
    "summary.csv": Compared(SUMMARY_TABLE, ("value",)),
    "tests.csv": Compared(TESTS_TABLE, ("difference",)),
    "claims.csv": Compared(CLAIMS_TABLE, words=("verdict",)),
    "mechanism.csv": Compared(
        MECHANISM_TABLE,
        ("relative_norm", "moved", "zero_bin", "zero_bin_moved", "projection_fixed"),
        floor=0.1,
    ),
}
"""The tables of an experiment that are compared."""
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
        _compare(name, table, *(folder / name for folder in folders))
        for name, table in TABLES.items()
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


def _compare(name: str, table: Compared, first: Path, second: Path) -> pd.DataFrame:
    one, two = (
        pd.read_csv(path, dtype=str, keep_default_na=False).set_index(list(table.schema.key))
        for path in (first, second)
    )
    rows = list(_rows(table, one, two))
    columns = ["row", "column", "first", "second", "verdict"]
    return pd.DataFrame(rows, columns=columns).assign(table=name)[["table", *columns]]


def _rows(table: Compared, one: pd.DataFrame, two: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    for key in one.index.union(two.index, sort=False):
        named = "/".join(part for part in key if part)
        if key not in one.index or key not in two.index:
            yield named, "", *("yes" if key in each.index else "" for each in (one, two)), "missing"
            continue
        a, b = one.loc[key], two.loc[key]
        metric = dict(zip(one.index.names, key, strict=True)).get("metric", "")
        for column in table.words:
            same = a[column] == b[column]
            yield named, column, a[column], b[column], "identical" if same else "outside"
        for column in table.numbers:
            verdict = _verdict(a, b, column, metric, table.floor)
            yield named, column, a[column], b[column], verdict


def _verdict(
    a: "pd.Series[str]", b: "pd.Series[str]", column: str, metric: str, floor: float
) -> str:
    if a[column] == b[column]:
        return "identical"
    x, y = (pd.to_numeric(row[column], errors="coerce") for row in (a, b))
    if pd.isna(x) or pd.isna(y):
        return "outside"  # a number in one run, a word such as `diverged` in the other
    if abs(x - y) <= EQUAL * max(abs(x), abs(y)):
        return "equal"
    widths = [
        (float(row["ci_high"]) - float(row["ci_low"])) / 2
        for row in (a, b)
        if row.get("ci_low") not in (None, "") and column in ("value", "difference")
    ]
    item = ITEM[metric] / int(a["n"]) if metric in ITEM else SMOOTH if metric else 0.0
    return "within" if abs(x - y) <= max([*widths, item, floor]) else "outside"
