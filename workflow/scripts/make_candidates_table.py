"""Set the table of all candidates of all grids."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(selections: tuple[Path, ...], output: Path) -> None:
    """Set the table of all candidates of all grids, in CSV and Markdown.

    Args:
        selections: JSON files of select_candidate.py.
        output: the folder that candidates.csv and candidates.md are written into.
    """
    from qunlearn.analysis.selection.choice import read
    from qunlearn.analysis.selection.listing import write_table

    write_table([read(path) for path in selections], output)


if __name__ == "__main__":
    run_script(main)
