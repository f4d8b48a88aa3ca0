"""Write the tables that people read: the main one, the mechanism's, the claims and all candidates.

main.{csv,md,tex,html}: method by precision and adapter, significantly better numbers bold.
mechanism.{csv,md} and reversion.md: what each grid leaves of an update. vs_paper.csv: our numbers
beside the published ones. claims.{csv,md}, claims_published.csv: each claim, judged by the numbers
of the experiment and by the published ones. candidates.{csv,md}: the candidates of a sweep, if any.

Args:
    results: the experiment's folder, with tables/, eval/, survival/, selection/ and data/.
    settings: how the models are evaluated; an evaluation with other settings is an error.
    cells: those of the summary.
    split_questions: whether questions on which settings were chosen are left out.
    notes: sentences on how models were trained and quantized, for the main table and the claims.
    swept: each <corpus>/<objective>/<adapter> whose settings select_candidate.py chose.
    counterpart: whose experiment this one repeats; none if nobody has published it.
    claims: the YAML file of the claims.
    published: the folder with the paper's table.csv, reference.csv and items.csv.
"""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script
from qunlearn.settings.evaluation import EvaluateSettings

RESOURCES = Path(__file__).parents[2] / "resources"


@run_script
def main(
    results: Path,
    settings: EvaluateSettings,
    cells: tuple[str, ...],
    split_questions: bool = False,
    notes: tuple[str, ...] = (),
    swept: tuple[str, ...] = (),
    counterpart: Literal["paper", "none"] = "none",
    claims: Path = RESOURCES / "claims.yaml",
    published: Path = RESOURCES / "published",
) -> None:
    from functools import partial

    from qunlearn.analysis.cells import Evaluations
    from qunlearn.analysis.claims import judge, published_claims, read_claims
    from qunlearn.analysis.comparisons import Evidence, better, paired_sum, read_tests
    from qunlearn.analysis.lineage import check_evaluations, check_measurements
    from qunlearn.analysis.published import published_numbers, read_table, write_beside
    from qunlearn.analysis.selection.choice import read
    from qunlearn.analysis.summary import read_metrics, summaries
    from qunlearn.report.candidates import notes as selection_notes
    from qunlearn.report.candidates import write_table
    from qunlearn.report.claims_table import write_claims
    from qunlearn.report.footnotes import processors, recorded
    from qunlearn.report.main_table import main_table, write_main_table
    from qunlearn.report.mechanism_tables import (
        arrivals,
        mechanism_markdown,
        reversion_markdown,
        write_mechanism,
    )
    from qunlearn.run.files import write_text

    tables, survival, evaluations = (results / name for name in ("tables", "survival", "eval"))
    wanted = read_claims(claims)
    check_evaluations(evaluations, cells, settings, split_questions)
    found, scores = summaries(tables / "summary.csv"), read_metrics(tables / "metrics.csv")
    check_measurements(survival, (cell for cell, _ in scores))
    measured = arrivals(scores, survival)
    write_mechanism(tables / "mechanism.csv", scores, measured)
    write_text(tables / "mechanism.md", mechanism_markdown(measured, found))
    write_text(tables / "reversion.md", reversion_markdown(found))
    if counterpart == "paper":
        write_beside(tables / "vs_paper.csv", found, read_table(published))
    paired = partial(paired_sum, Evaluations(evaluations, cells))
    ours = judge(wanted, Evidence(found, read_tests(tables / "tests.csv"), paired))
    judged = judge(published_claims(wanted), Evidence(published_numbers(published)))
    write_claims(ours, judged, tables, notes)
    choices = [read(results / "selection" / f"{cell}.json") for cell in swept]
    if choices:
        write_table(choices, tables)
    corpora = [cell.split("/")[0] for cell in cells]
    below = [
        *recorded(results / "data", corpora, "overlaps"),
        *selection_notes(choices),
        *notes,
        *recorded(evaluations, cells, "shortfalls"),
    ]
    if ran := processors(results, cells):
        below.append(f"Processor: {ran}; another one changes numbers, as another seed does.")
    write_main_table(main_table(found, better(tables / "tests.csv", found), below), tables)
