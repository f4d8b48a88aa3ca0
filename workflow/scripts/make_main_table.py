"""Write the main table as CSV, Markdown, LaTeX and HTML."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(
    summary: Path,
    tests: Path,
    output: Path,
    settings: tuple[str, ...] = (),
    selections: tuple[Path, ...] = (),
    results: Path | None = None,
    cells: tuple[str, ...] = (),
) -> None:
    """Write the main table, method by precision and adapter, as CSV, Markdown, LaTeX and HTML.

    Args:
        summary: the CSV file of all metrics over seeds and items.
        tests: the CSV file of the paired tests; significantly better numbers are bold.
        output: the folder that main.csv, main.md, main.tex and main.html are written into.
        settings: sentences for the footer on how models were trained and quantized.
        selections: JSON files of select_candidate.py, for notes on how settings were chosen.
        results: the experiment's folder, whose manifests name its processors.
        cells: those of the summary; required with results.
    """
    from qunlearn.analysis.evidence import better
    from qunlearn.analysis.selection.choice import read
    from qunlearn.analysis.selection.sentences import notes
    from qunlearn.analysis.summary import summaries
    from qunlearn.report.footnotes import corpus_notes
    from qunlearn.report.main_table import main_table, shortfalls, write_main_table
    from qunlearn.report.processors import processors

    found = summaries(summary)
    below = [*notes([read(path) for path in selections]), *settings]
    if results is not None:
        corpora = dict.fromkeys(cell.split("/")[0] for cell in cells)
        below = [*corpus_notes(results / "data" / corpus for corpus in corpora), *below]
        below += shortfalls(results / "eval", cells)
        if ran := processors(results, cells):
            below.append(f"Processor: {ran}; another one changes numbers, as another seed does.")
    write_main_table(main_table(found, better(tests, found), below), output)


if __name__ == "__main__":
    run_script(main)
