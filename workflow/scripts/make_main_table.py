"""Set the main table in CSV, Markdown, LaTeX and HTML."""

from pathlib import Path

from qunlearn.cli import run_script


def main(
    summary: Path,
    tests: Path,
    output: Path,
    settings: tuple[str, ...] = (),
    selections: tuple[Path, ...] = (),
    corpora: tuple[Path, ...] = (),
    evaluations: Path = Path(),
    cells: tuple[str, ...] = (),
) -> None:
    """Set the main table, method by precision and adapter, in CSV, Markdown, LaTeX and HTML.

    Args:
        summary: the CSV file of all metrics over seeds and items.
        tests: the CSV file of the paired tests; what is significantly better is set in bold.
        output: the folder that main.csv, main.md, main.tex and main.html are written into.
        settings: sentences for the footer on how models were trained and quantized.
        selections: JSON files of select_candidate.py, for sentences on how settings were chosen.
        corpora: folders in MUSE's layout, for sentences on what their lists have in common.
        evaluations: the folder that holds <cell>/manifest.json of each cell.
        cells: e.g. news/target/bf16; the footer says what could not be asked of them in full.
    """
    from qunlearn.footnotes import corpus_notes
    from qunlearn.selection.choice import read
    from qunlearn.selection.sentences import notes
    from qunlearn.tables.main import main_table, shortfalls
    from qunlearn.tables.render import write_main_table
    from qunlearn.tables.significance import better
    from qunlearn.tables.summary import summaries

    found = summaries(summary)
    below = [
        *corpus_notes(corpora),
        *notes([read(path) for path in selections]),
        *settings,
        *shortfalls(evaluations, cells),
    ]
    write_main_table(main_table(found, better(tests, found), below), output)


if __name__ == "__main__":
    run_script(main)
