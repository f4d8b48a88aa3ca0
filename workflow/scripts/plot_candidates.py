"""Draw all candidates of all grids: forget KnowMem against Utility, and the chosen ones."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(selections: tuple[Path, ...], output: Path) -> None:
    """Draw all candidates of all grids: forget KnowMem against Utility, and the chosen ones.

    Args:
        selections: JSON files of select_candidate.py.
        output: the folder that candidates.png and .pdf are written into.
    """
    from qunlearn.analysis.selection.choice import read
    from qunlearn.report.figures.candidates import plot

    plot([read(path) for path in selections], output)


if __name__ == "__main__":
    run_script(main)
