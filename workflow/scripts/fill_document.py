"""Put the results of finished runs into README or docs."""

from pathlib import Path
from typing import Literal

from qunlearn.run.cli import run_script


def main(
    part: Literal["table", "answer", "mechanism", "window"],
    document: Path,
    docs: Path,
    results: tuple[Path, ...] = (),
    precisions: tuple[str, ...] = (),
    others: tuple[Path, ...] = (),
    corpus: str = "news",
    objective: str = "npo_gdr",
    adapter: str = "full_bf16",
) -> None:
    """Write the parts of a document that are results anew, and keep their figures and numbers.

    Args:
        part: the main table; one metric of what it kept, in five rows; the tables of a run
            with controls; or one variant at several rates.
        document: the file; what stands between its marks is written anew.
        docs: the folder for the figures, and in its results/ for the numbers.
        results: the run, e.g. results/mini; of `window` several, one a learning rate; of `answer`
            none.
        precisions: the rows of the main table, or the columns of the other tables.
        others: runs of the same experiment on other processors, for how far those move a number.
        corpus: whose numbers `mechanism` and `window` show.
        objective: likewise.
        adapter: the variant that `window` shows.
    """
    from qunlearn.report import documents

    match part:
        case "table":
            documents.fill_table(results[0], others, precisions, document, docs)
        case "answer":
            documents.fill_answer(docs, precisions, document)
        case "mechanism":
            documents.fill_mechanism(results[0], (corpus, objective), precisions, document, docs)
        case "window":
            documents.fill_window(results, (corpus, objective, adapter), document, docs)


if __name__ == "__main__":
    run_script(main)
