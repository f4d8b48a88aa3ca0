"""Draw the controls that tell a low rank from a large step."""

from pathlib import Path

from qunlearn.cli import run_script


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
    from qunlearn.evidence.origins import check_measurements
    from qunlearn.figures.controls import plot
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.summary import summaries

    scores = read_metrics(metrics)
    check_measurements(survival, (score.cell for score in scores))
    plot(scores, summaries(summary), survival, precisions, output)


if __name__ == "__main__":
    run_script(main)
