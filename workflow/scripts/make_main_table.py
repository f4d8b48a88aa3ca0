"""Set the main table in CSV, Markdown, LaTeX and HTML."""

from pathlib import Path

from qunlearn.cli import run_script


def main(metrics: Path, output: Path) -> None:
    """Set the main table, method by precision and adapter, in CSV, Markdown, LaTeX and HTML.

    Args:
        metrics: the tidy CSV file of all metrics.
        output: the folder that main.csv, main.md, main.tex and main.html are written into.
    """
    from qunlearn.tables.main import main_table
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.render import write_main_table

    write_main_table(main_table(read_metrics(metrics)), output)


if __name__ == "__main__":
    run_script(main)
