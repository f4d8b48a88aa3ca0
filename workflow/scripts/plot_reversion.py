"""Draw reversion against the coarseness of the grid."""

from pathlib import Path

from qunlearn.cli import run_script


def main(metrics: Path, summary: Path, survival: Path, output: Path) -> None:
    """Draw what share of the forgetting each grid undoes, against its rounding error.

    Args:
        metrics: the tidy CSV file of all metrics, reversions among them.
        summary: the CSV file of all metrics over seeds and items.
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        output: the folder that reversion.png and .pdf are written into.
    """
    from qunlearn.evidence.origins import check_measurements
    from qunlearn.figures.reversion import plot
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.summary import summaries

    scores = read_metrics(metrics)
    check_measurements(survival, (score.cell for score in scores))
    plot(scores, summaries(summary), survival, output)


if __name__ == "__main__":
    run_script(main)
