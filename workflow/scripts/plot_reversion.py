"""Draw reversion against the coarseness of the grid."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(metrics: Path, summary: Path, survival: Path, output: Path) -> None:
    """Draw what share of the forgetting each grid undoes, against its rounding error.

    Args:
        metrics: the tidy CSV file of all metrics, reversions among them.
        summary: the CSV file of all metrics over seeds and items.
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        output: the folder that reversion.png and .pdf are written into.
    """
    from qunlearn.analysis.lineage import check_measurements
    from qunlearn.analysis.metrics import read_metrics
    from qunlearn.analysis.summary import summaries
    from qunlearn.report.figures.coarseness import plot

    scores = read_metrics(metrics)
    check_measurements(survival, (score.cell for score in scores))
    plot(scores, summaries(summary), survival, output)


if __name__ == "__main__":
    run_script(main)
