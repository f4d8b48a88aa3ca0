"""Summarise every metric over its seeds and items."""

from pathlib import Path

from qunlearn.cli import run_script


def main(evaluations: Path, cells: list[str], experiment: str, output: Path) -> None:
    """Summarise every metric over its seeds and items, with intervals over both.

    Args:
        evaluations: the folder that holds <cell>/metrics.json and the records of each cell.
        cells: e.g. news/npo_gdr/lora/seed0/nf4 or news/target/bf16; their order is the table's.
        experiment: the experiment's name, the first column.
        output: the CSV file to write.
    """
    from qunlearn.evidence.summaries import summarise
    from qunlearn.tables.summary import write_summaries

    write_summaries(output, experiment, summarise(evaluations, cells))


if __name__ == "__main__":
    run_script(main)
