"""Put the results of finished runs into README or docs.

Args:
    part: the main table; the tables of a run with controls; or one variant at several rates.
    results: the run, e.g. results/mini; of `window` several, one a learning rate.
    document: the file; what stands between its marks is written anew.
    docs: the folder for the figures, and in its results/ for the numbers.
    precisions: the rows of the main table, or the columns of the controls' table.
    others: runs of the same experiment on other processors, for how far those move a number.
    corpus: whose numbers `mechanism` and `window` show.
    objective: likewise.
    adapter: the variant that `window` shows.
"""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script


@run_script
def main(
    part: Literal["table", "mechanism", "window"],
    results: tuple[Path, ...],
    document: Path,
    docs: Path,
    precisions: tuple[str, ...] = (),
    others: tuple[Path, ...] = (),
    corpus: str = "news",
    objective: str = "npo_gdr",
    adapter: str = "full_bf16",
) -> None:
    from qunlearn.report import documents

    if part == "table":
        documents.fill_table(results[0], others, precisions, document, docs)
    elif part == "mechanism":
        documents.fill_mechanism(results[0], (corpus, objective), precisions, document, docs)
    else:
        documents.fill_window(results, (corpus, objective, adapter), document, docs)
