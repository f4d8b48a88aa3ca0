"""Test the differences between variants and between precisions."""

from pathlib import Path

from qunlearn.cli import run_script


def main(evaluations: Path, cells: list[str], experiment: str, output: Path) -> None:
    """Test the differences between variants and between precisions, paired by item.

    Args:
        evaluations: the folder that holds <cell>/metrics.json and the records of each cell.
        cells: e.g. news/npo_gdr/lora/seed0/nf4 or news/target/bf16; their order is the table's.
        experiment: the experiment's name, the first column.
        output: the CSV file to write.
    """
    from qunlearn.evidence.comparisons import comparisons
    from qunlearn.evidence.tests_table import write_tests

    write_tests(output, experiment, comparisons(evaluations, cells))


if __name__ == "__main__":
    run_script(main)
