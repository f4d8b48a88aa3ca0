"""Put the results of a finished run into the README."""

from pathlib import Path

from qunlearn.cli import run_script


def main(results: Path, precisions: tuple[str, ...], readme: Path, figure: Path) -> None:
    """Put the table and the figure of a finished run into the README.

    Args:
        results: the run, e.g. results/mini.
        precisions: the rows of the table that the README shows.
        readme: the file; what stands between its two marks is written anew.
        figure: where the README's copy of the figure goes; its name is that of the run's figure.
    """
    from qunlearn.readme import replace_marked
    from qunlearn.tables.main import main_table
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.render import as_markdown

    scores = read_metrics(results / "tables/metrics.csv")
    shown = [score for score in scores if score.cell.precision in precisions]
    replace_marked(readme, "table", as_markdown(main_table(shown)))
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.write_bytes((results / "figures" / figure.name).read_bytes())


if __name__ == "__main__":
    run_script(main)
