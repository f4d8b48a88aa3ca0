"""Put the tables and figures of a run with controls into docs/mechanism.md."""

from pathlib import Path

from qunlearn.run.cli import run_script

FIGURES = (
    "reversion",
    "update_over_step_{corpus}_{objective}",
    "update_survival_{corpus}_{objective}",
    "controls",
)
MADE = ("Seeds:", "Learning rates:", "Processor:")
"""The notes of the main table that the document repeats."""


def main(
    results: Path, corpus: str, objective: str, precisions: tuple[str, ...], document: Path
) -> None:
    """Put the tables and figures of a run with controls into a document.

    Args:
        results: the run, e.g. results/mini, made with controls=true.
        corpus: whose rows are shown.
        objective: whose rows are shown.
        precisions: the columns of the controls' table.
        document: the file; what stands between its marks is written anew, and the figures that it
            shows are put beside it.
    """
    from qunlearn.analysis.mechanism import arrivals, mechanism_markdown, reversion_markdown
    from qunlearn.analysis.metrics import read_metrics
    from qunlearn.analysis.summary import summaries
    from qunlearn.experiment.controls import NEEDED
    from qunlearn.report.readme import main_notes, replace_marked

    found = {
        key: summary
        for key, summary in summaries(results / "tables/summary.csv").items()
        if (key.corpus, key.objective) == (corpus, objective)
    }
    main_three = {key: found[key] for key in found if key.adapter in NEEDED}
    coarse = {key: found[key] for key in found if key.precision in precisions}
    scores = [
        score
        for score in read_metrics(results / "tables/metrics.csv")
        if (score.cell.corpus, score.cell.objective) == (corpus, objective)
    ]
    measured = arrivals(scores, results / "survival")
    made = [note for note in main_notes(results) if note.startswith(MADE)]
    tables = {
        "made": "".join(f"* {note}\n" for note in made),
        "reversion": reversion_markdown(main_three),
        "mechanism": mechanism_markdown(measured[measured["adapter"].isin(NEEDED)], found),
        "controls": reversion_markdown(coarse, ("nll_forget", "knowmem")),
        "norms": mechanism_markdown(measured[measured["precision"] == precisions[-1]], found),
    }
    for name, table in tables.items():
        replace_marked(document, name, table)
    for figure in FIGURES:
        name = figure.format(corpus=corpus, objective=objective) + ".png"
        (document.parent / name).write_bytes((results / "figures" / name).read_bytes())


if __name__ == "__main__":
    run_script(main)
