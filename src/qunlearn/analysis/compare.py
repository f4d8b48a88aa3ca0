"""Two runs of one experiment: which numbers differ, and by how much.

Numbers of one experiment differ between processors and versions of packages, in the last digit or
through another path of training. The tables' own 95 % intervals are the yardstick: a number is
*within* noise where it moved by no more than half the wider interval of the two, or by what one of
its n items can do. That is a coarse rule, made to find what is broken; it is no test.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from qunlearn.run.errors import InputError

EQUAL = 1e-5
"""Relative difference below which two numbers print alike."""
VERDICTS = ["identical", "equal", "within", "outside", "missing"]
MEASURED = ["relative_norm", "moved", "zero_bin", "zero_bin_moved", "projection_fixed"]
TABLES = {"metrics": ["value"], "summary": ["value"], "tests": ["difference"]}
TABLES |= {"claims": ["verdict"], "mechanism": MEASURED}
"""The columns of each table that are compared; those before them tell its rows apart."""
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
    one, two = (
        _numbers(path / "tables" if (path / "tables").is_dir() else path)
        for path in (first, second)
    )
    if not (common := set(one["table"]) & set(two["table"])):
        raise InputError(
            f"{first} and {second}: no table in common; give the results of two finished runs"
        )
    both = one.merge(two, on=["table", "row", "column"], how="outer", suffixes=("", "_2"))
    both = both[both["table"].isin(common)]
    values = both[["text", "text_2"]].apply(pd.to_numeric, errors="coerce")
    # Infinite where a run has a word, such as `diverged`.
    apart = (values["text"] - values["text_2"]).abs().fillna(np.inf)
    fits = {"missing": both["text"].isna() | both["text_2"].isna()}
    fits["identical"] = both["text"] == both["text_2"]
    fits["equal"] = apart <= EQUAL * values.abs().max(axis=1).fillna(0.0)
    fits["within"] = apart <= both[["noise", "noise_2"]].max(axis=1).fillna(0.0)
    verdicts = np.select([*fits.values()], [*fits], "outside")
    shown = both[["table", "row", "column"]].assign(first=both["text"], second=both["text_2"])
    return shown.fillna("").assign(verdict=verdicts)


def summarize(found: pd.DataFrame) -> str:
    """The comparison in Markdown: a count of each verdict per table, then what is outside."""
    counts = pd.crosstab(found["table"], found["verdict"]).reindex(columns=VERDICTS, fill_value=0)
    apart = found[found["verdict"].isin(["outside", "missing"])]
    below = f"\n\nOutside noise, or in one run only:\n\n{apart.to_markdown(index=False)}"
    return counts.to_markdown() + (below if len(apart) else "") + "\n"


def _numbers(folder: Path) -> pd.DataFrame:
    """What is compared of a folder of tables, one a row, with what each may move by in noise."""
    parts = [pd.DataFrame(columns=["table", "row", "column", "text", "noise"])]
    for file in [folder / f"{name}.csv" for name in TABLES]:
        if not file.exists():
            continue
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        columns = TABLES[file.stem]
        names = table.loc[:, : columns[0]].drop(columns=[columns[0], "experiment"], errors="ignore")
        rows = ["/".join(filter(None, row)) for row in names.to_numpy()]
        low, high, n = (
            pd.to_numeric(table[name], errors="coerce") for name in ("ci_low", "ci_high", "n")
        )
        noise = pd.Series(FLOOR, table.index)
        if columns is not MEASURED:
            item = table["metric"].map(ITEM)
            item = (item / n).where(item.notna(), SMOOTH)
            noise = pd.concat([item, (high - low) / 2], axis=1).max(axis=1)
        for column in columns:
            own = {"table": file.name, "row": rows, "column": column, "text": table[column]}
            parts.append(pd.DataFrame({**own, "noise": noise}))
    return pd.concat(parts)
