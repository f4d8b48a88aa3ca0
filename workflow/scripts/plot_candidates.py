"""Draw all candidates of all grids: forget KnowMem against Utility, and the chosen ones."""

from pathlib import Path

from qunlearn.cli import run_script


def main(selections: tuple[Path, ...], output: Path) -> None:
    """Draw all candidates of all grids: forget KnowMem against Utility, and the chosen ones.

    Args:
        selections: JSON files of select_candidate.py.
        output: the folder that candidates.png and .pdf are written into.
    """
    from qunlearn.figures.candidates import plot
    from qunlearn.selection.choice import read

    plot([read(path) for path in selections], output)


if __name__ == "__main__":
    run_script(main)
