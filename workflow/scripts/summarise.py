"""Summarise every metric over its seeds and items."""

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
    """Summarise every metric over its seeds and items, with intervals over both.

    Args:
        evaluations: the folder that holds <cell>/metrics.json and the records of each cell.
        cells: e.g. news/npo_gdr/lora/seed0/nf4 or news/target/bf16; their order is the table's.
        experiment: the experiment's name, the first column.
        settings: how the models are asked; an evaluation of other settings is refused.
        output: the CSV file to write.
        split_questions: whether questions on which settings were chosen are left out.
    """
    from qunlearn.analysis.cells import Evaluations
    from qunlearn.analysis.lineage import check_evaluations
    from qunlearn.analysis.summary import summarise, write_summaries

    check_evaluations(evaluations, cells, settings, split_questions)
    write_summaries(output, experiment, summarise(Evaluations(evaluations, cells)))


if __name__ == "__main__":
    run_script(main)
