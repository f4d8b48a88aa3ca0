"""Write the tables that people read: the main one, the mechanism's and all candidates.

main.{csv,md,tex,html}: method by precision and adapter, significantly better numbers bold.
mechanism.{csv,md} and reversion.md: what each grid leaves of an update. vs_paper.csv: our numbers
beside the published ones. candidates.{csv,md}: the candidates of a sweep, if there is one.

Args:
    results: the experiment's folder, with tables/, eval/, survival/, selection/ and data/.
    cells: those of the summary.
    notes: sentences for the main table's footer on how models were trained and quantized.
    swept: each <corpus>/<objective>/<adapter> whose settings select_candidate.py chose.
    counterpart: whose experiment this one repeats; none if nobody has published it.
    published: the folder with the paper's table.csv.
"""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script

RESOURCES = Path(__file__).parents[2] / "resources"


@run_script
def main(
    results: Path,
    cells: tuple[str, ...],
    notes: tuple[str, ...] = (),
    swept: tuple[str, ...] = (),
    counterpart: Literal["paper", "none"] = "none",
    published: Path = RESOURCES / "published",
) -> None:
    from qunlearn.analysis.comparisons import better
    from qunlearn.analysis.lineage import check_measurements
    from qunlearn.analysis.mechanism import arrivals, write_mechanism
    from qunlearn.analysis.published import read_table, write_beside
    from qunlearn.analysis.selection.choice import read
    from qunlearn.analysis.selection.listing import notes as selection_notes
    from qunlearn.analysis.selection.listing import write_table
    from qunlearn.analysis.summary import read_metrics, summaries
    from qunlearn.report.footnotes import recorded
    from qunlearn.report.main_table import main_table, write_main_table
    from qunlearn.report.mechanism_tables import mechanism_markdown, reversion_markdown
    from qunlearn.report.processors import processors
    from qunlearn.run.files import write_text

    tables, survival = results / "tables", results / "survival"
    found, scores = summaries(tables / "summary.csv"), read_metrics(tables / "metrics.csv")
    check_measurements(survival, (cell for cell, _ in scores))
    measured = arrivals(scores, survival)
    write_mechanism(tables / "mechanism.csv", scores, measured)
    write_text(tables / "mechanism.md", mechanism_markdown(measured, found))
    write_text(tables / "reversion.md", reversion_markdown(found))
    theirs = read_table(published) if counterpart == "paper" else None
    write_beside(tables / "vs_paper.csv", found, theirs)
    choices = [read(results / "selection" / f"{cell}.json") for cell in swept]
    if choices:
        write_table(choices, tables)
    corpora = [cell.split("/")[0] for cell in cells]
    below = [
        *recorded(results / "data", corpora, "overlaps"),
        *selection_notes(choices),
        *notes,
        *recorded(results / "eval", cells, "shortfalls"),
    ]
    if ran := processors(results, cells):
        below.append(f"Processor: {ran}; another one changes numbers, as another seed does.")
    write_main_table(main_table(found, better(tables / "tests.csv", found), below), tables)
