"""Judge each claim by the numbers of an experiment, and by those that the paper published.

Args:
    summary: the CSV file of all metrics and reversions with their intervals.
    tests: the CSV file of the paired tests.
    settings: how the models are evaluated; an evaluation with other settings is an error.
    output: the folder that claims.csv, claims_published.csv and claims.md are written into.
    evaluations: the folder that holds each cell's records, for differences item by item.
    cells: of the summary, as for analyse.py.
    split_questions: whether questions on which settings were chosen are left out.
    notes: sentences on how the models were trained.
    claims: the YAML file of the claims.
    published: the folder with the paper's table.csv, reference.csv and items.csv.
"""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.settings.evaluation import EvaluateSettings

RESOURCES = Path(__file__).parents[2] / "resources"


@run_script
def main(
    summary: Path,
    tests: Path,
    settings: EvaluateSettings,
    output: Path,
    evaluations: Path,
    cells: tuple[str, ...],
    split_questions: bool = False,
    notes: tuple[str, ...] = (),
    claims: Path = RESOURCES / "claims.yaml",
    published: Path = RESOURCES / "published",
) -> None:
    from functools import partial

    from qunlearn.analysis.cells import Evaluations
    from qunlearn.analysis.claims import judge, published_claims, read_claims
    from qunlearn.analysis.comparisons import Evidence, paired_sum, read_tests
    from qunlearn.analysis.lineage import check_evaluations
    from qunlearn.analysis.published import published_numbers
    from qunlearn.analysis.summary import summaries
    from qunlearn.report.claims_table import write_claims

    wanted = read_claims(claims)
    check_evaluations(evaluations, cells, settings, split_questions)
    paired = partial(paired_sum, Evaluations(evaluations, cells))
    ours = judge(wanted, Evidence(summaries(summary), read_tests(tests), paired))
    theirs = judge(published_claims(wanted), Evidence(published_numbers(published)))
    write_claims(ours, theirs, output, notes)
