"""Test the differences between variants and between precisions."""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.evaluation import EvaluateSettings


def main(
    evaluations: Path,
    cells: list[str],
    experiment: str,
    settings: EvaluateSettings,
    output: Path,
    split_questions: bool = False,
) -> None:
    """Test the differences between variants and between precisions, paired by item.

    Args:
        evaluations: the folder that holds <cell>/metrics.json and the records of each cell.
        cells: e.g. news/npo_gdr/lora/seed0/nf4 or news/target/bf16; their order is the table's.
        experiment: the experiment's name, the first column.
        settings: how the models are asked; an evaluation of other settings is refused.
        output: the CSV file to write.
        split_questions: whether questions on which settings were chosen are left out.
    """
    from qunlearn.analysis.cells import Evaluations
    from qunlearn.analysis.comparisons import comparisons, write_tests
    from qunlearn.analysis.lineage import check_evaluations

    check_evaluations(evaluations, cells, settings, split_questions)
    write_tests(output, comparisons(Evaluations(evaluations, cells), experiment))


if __name__ == "__main__":
    run_script(main)
