"""Set the tables of reversion and of what each grid leaves of an update."""

from pathlib import Path

from qunlearn.cli import run_script


def main(metrics: Path, summary: Path, survival: Path, output: Path) -> None:
    """Set the tables of reversion and of what each grid leaves of an update.

    Args:
        metrics: the tidy CSV file of all metrics.
        summary: the CSV file of all metrics over seeds and items.
        survival: the folder of the survival measurements, <corpus>/<model id>/<precision>.csv.
        output: the folder that mechanism.csv, mechanism.md and reversion.md are written into.
    """
    from qunlearn.evidence.origins import check_measurements
    from qunlearn.tables.mechanism import arrivals, write_mechanism
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.summary import summaries

    scores = read_metrics(metrics)
    check_measurements(survival, (score.cell for score in scores))
    write_mechanism(scores, summaries(summary), arrivals(scores, survival), output)


if __name__ == "__main__":
    run_script(main)
