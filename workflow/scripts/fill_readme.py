"""Put the results of a finished run into the README."""

from pathlib import Path

from qunlearn.cli import run_script


def main(results: Path, precisions: tuple[str, ...], readme: Path, figure: Path) -> None:
    """Put the table and the figure of a finished run into the README, and keep their numbers.

    Args:
        results: the run, e.g. results/mini.
        precisions: the rows of the table that the README shows.
        readme: the file; what stands between its two marks is written anew.
        figure: where the README's copy of the figure goes; its name is that of the run's figure.
            The numbers behind the table are kept beside it, in results/.
    """
    import shutil

    from qunlearn.readme import replace_marked
    from qunlearn.tables.main import excerpt
    from qunlearn.tables.render import as_markdown
    from qunlearn.tables.significance import better
    from qunlearn.tables.summary import summaries

    kept = figure.parent / "results"
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("summary.csv", "tests.csv"):
        shutil.copyfile(results / "tables" / name, kept / name)
    found = summaries(kept / "summary.csv")
    winners = better(kept / "tests.csv", found)
    replace_marked(readme, "table", as_markdown(excerpt(found, winners, precisions)))
    figure.write_bytes((results / "figures" / figure.name).read_bytes())


if __name__ == "__main__":
    run_script(main)
