"""Put the results of a finished run into the README."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(
    results: Path,
    precisions: tuple[str, ...],
    readme: Path,
    figure: Path,
    others: tuple[Path, ...] = (),
) -> None:
    """Put the table and the figure of a finished run into the README, and keep their numbers.

    Args:
        results: the run, e.g. results/mini.
        precisions: the rows of the table that the README shows.
        readme: the file; what stands between its two marks is written anew.
        figure: where the README's copy of the figure goes; its name is that of the run's figure.
            The numbers behind the table are kept beside it, in results/.
        others: runs of the same experiment on other processors, for how far those move a number.
    """
    from qunlearn.report.readme import keep_numbers, kept_table, replace_marked

    kept = figure.parent / "results"
    keep_numbers(results, others, kept)
    replace_marked(readme, "table", kept_table(kept, precisions))
    figure.write_bytes((results / "figures" / figure.name).read_bytes())


if __name__ == "__main__":
    run_script(main)
