"""Draw the controls that tell a low rank from a large step."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(
    metrics: Path, summary: Path, survival: Path, precisions: tuple[str, ...], output: Path
) -> None:
    """Draw the controls: reversion by the size of the update, and with some weights unrounded.

    Args:
        metrics: the tidy CSV file of all metrics, reversions among them.
        summary: the CSV file of all metrics over seeds and items.
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        precisions: the coarse ones, a panel each, the coarsest last: e.g. rtn4 rtn3g64.
        output: the folder that controls.png and .pdf are written into.
    """
    from qunlearn.analysis.lineage import check_measurements
    from qunlearn.analysis.metrics import read_metrics
    from qunlearn.analysis.summary import summaries
    from qunlearn.report.figures.causes import plot

    scores = read_metrics(metrics)
    check_measurements(survival, (score.cell for score in scores))
    plot(scores, summaries(summary), survival, precisions, output)


if __name__ == "__main__":
    run_script(main)
