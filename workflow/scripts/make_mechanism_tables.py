"""Set the tables of reversion and of what each grid leaves of an update."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(metrics: Path, summary: Path, survival: Path, output: Path) -> None:
    """Set the tables of reversion and of what each grid leaves of an update.

    Args:
        metrics: the tidy CSV file of all metrics.
        summary: the CSV file of all metrics over seeds and items.
        survival: the folder of the survival measurements, <corpus>/<model id>/<precision>.csv.
        output: the folder that mechanism.csv, mechanism.md and reversion.md are written into.
    """
    from qunlearn.analysis.lineage import check_measurements
    from qunlearn.analysis.mechanism import arrivals, write_mechanism
    from qunlearn.analysis.metrics import read_metrics
    from qunlearn.analysis.summary import summaries

    scores = read_metrics(metrics)
    check_measurements(survival, (score.cell for score in scores))
    write_mechanism(scores, summaries(summary), arrivals(scores, survival), output)


if __name__ == "__main__":
    run_script(main)
