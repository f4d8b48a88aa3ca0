"""Put the tables and figures of a run with controls into docs/mechanism.md."""

from pathlib import Path

from qunlearn.cli import run_script

FIGURES = (
    "reversion",
    "update_over_step_{corpus}_{objective}",
    "update_survival_{corpus}_{objective}",
    "controls",
)


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
    from qunlearn.controls import NEEDED
    from qunlearn.readme import replace_marked
    from qunlearn.tables.mechanism import arrivals, mechanism_markdown, reversion_markdown
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.summary import over_seeds

    scores = [
        score
        for score in read_metrics(results / "tables/metrics.csv")
        if (score.cell.corpus, score.cell.objective) == (corpus, objective)
    ]
    main_three = [score for score in scores if score.cell.adapter in NEEDED]
    measured = arrivals(main_three, results / "survival")
    coarse = [score for score in scores if score.cell.precision in precisions]
    tables = {
        "reversion": reversion_markdown(main_three),
        "mechanism": mechanism_markdown(measured, over_seeds(scores)),
        "controls": reversion_markdown(coarse, ("nll_forget", "knowmem")),
        "norms": mechanism_markdown(
            arrivals(
                [score for score in coarse if score.cell.precision == precisions[-1]],
                results / "survival",
            ),
            over_seeds(scores),
        ),
    }
    for name, table in tables.items():
        replace_marked(document, name, table)
    for figure in FIGURES:
        name = figure.format(corpus=corpus, objective=objective) + ".png"
        (document.parent / name).write_bytes((results / "figures" / name).read_bytes())


if __name__ == "__main__":
    run_script(main)
