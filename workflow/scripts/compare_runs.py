"""Compare two runs of one experiment: where they part, by how much, whether within noise."""

import sys
from pathlib import Path

from tyro.conf import Positional

from qunlearn.cli import run_script


def main(first: Positional[Path], second: Positional[Path], output: Path | None = None) -> None:
    """Say what differs between two runs of one experiment, by how much, and whether within noise.

    Exits with 0 when the runs are identical or within noise, with 1 when a difference is outside
    noise, and with 2 when they cannot be compared.

    Args:
        first: results of a run, e.g. results/mini.
        second: those of another run of the same configuration, on another machine or from before a
            change of packages.
        output: a CSV file for every metric of every cell.
    """
    from qunlearn.comparing.divergence import compare_bytes
    from qunlearn.comparing.runs import Run, check_same_experiment
    from qunlearn.comparing.scores import compare_scores
    from qunlearn.comparing.told import is_outside, told, write_rows

    runs = Run(first), Run(second)
    check_same_experiment(*runs)
    rows = compare_scores(*runs)
    print(told(*runs, compare_bytes(*runs), rows), end="")
    if output is not None:
        write_rows(output, rows)
    if is_outside(rows):
        sys.exit(1)


if __name__ == "__main__":
    run_script(main)
