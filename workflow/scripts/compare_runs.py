"""Compare the tables of two runs of one experiment, within tolerances.

Exits with 1 if a number differs by more than noise, or a row is in one run only.

Args:
    first: results of a run, e.g. results/mini, or a folder of kept tables.
    second: results of another machine, other packages or other code.
    output: a CSV file for every number.
"""

import sys
from pathlib import Path

from tyro.conf import Positional

from qunlearn.run.cli import run_script


@run_script
def main(first: Positional[Path], second: Positional[Path], output: Path | None = None) -> None:
    from qunlearn.analysis.compare import compare, summarize

    found = compare(first, second)
    print(summarize(found), end="")
    if output is not None:
        found.to_csv(output, index=False)
    if found["verdict"].isin(["outside", "missing"]).any():
        sys.exit(1)
