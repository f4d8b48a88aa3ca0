"""Gather, summarize and test the metrics of every evaluated cell.

Writes metrics.csv (with the reversions), summary.csv (with intervals over seeds and items) and
tests.csv (differences, paired by item).

Args:
    results: the experiment's folder: <cell>/metrics.json and records are read from eval/, and the
        tables are written into tables/.
    cells: e.g. news/npo_gdr/lora/seed0/nf4 or news/target/bf16; their order is the tables'.
    experiment: the experiment's name, the first column.
    settings: how the models are evaluated; an evaluation with other settings is an error.
    split_questions: whether questions on which settings were chosen are left out.
"""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.evaluation import EvaluateSettings


@run_script
def main(
    results: Path,
    cells: tuple[str, ...],
    experiment: str,
    settings: EvaluateSettings,
    split_questions: bool = False,
) -> None:
    from qunlearn.analysis.cells import Evaluations
    from qunlearn.analysis.comparisons import comparisons
    from qunlearn.analysis.frame import TESTS_TABLE
    from qunlearn.analysis.lineage import check_evaluations
    from qunlearn.analysis.summary import collect, summarise, write_metrics, write_summaries
    from qunlearn.run.csvfile import write_rows

    evaluations, output = results / "eval", results / "tables"
    check_evaluations(evaluations, cells, settings, split_questions)
    read = Evaluations(evaluations, cells)
    write_metrics(output / "metrics.csv", experiment, collect(read))
    write_summaries(output / "summary.csv", experiment, summarise(read))
    tests = comparisons(read, experiment).to_numpy().tolist()
    write_rows(output / "tests.csv", TESTS_TABLE, tests)
