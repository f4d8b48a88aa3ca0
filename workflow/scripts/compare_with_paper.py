"""Set an experiment's numbers beside those that were published."""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script


def main(
    summary: Path, published: Path, output: Path, counterpart: Literal["paper", "none"] = "none"
) -> None:
    """Set an experiment's numbers beside those that were published.

    Args:
        summary: the CSV file of all metrics with their intervals.
        published: the folder with the paper's table.csv.
        output: the CSV file to write.
        counterpart: whose experiment this one repeats; none: nobody published it.
    """
    from qunlearn.analysis.published import read_table, write_beside
    from qunlearn.analysis.summary import summaries

    theirs = read_table(published) if counterpart == "paper" else None
    write_beside(output, summaries(summary), theirs)


if __name__ == "__main__":
    run_script(main)
