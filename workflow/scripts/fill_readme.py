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
    from qunlearn.tables.render import as_markdown
    from qunlearn.tables.significance import better
    from qunlearn.tables.summary import summaries

    found = summaries(results / "tables/summary.csv")
    winners = better(results / "tables/tests.csv", found)
    shown = {key: summary for key, summary in found.items() if key.precision in precisions}
    table = as_markdown(main_table(shown, winners & shown.keys()))
    replace_marked(readme, "table", table)
    figure.parent.mkdir(parents=True, exist_ok=True)
    figure.write_bytes((results / "figures" / figure.name).read_bytes())


if __name__ == "__main__":
    run_script(main)
