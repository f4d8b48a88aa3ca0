"""Draw what each precision leaves of the forgetting."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(metrics: Path, summary: Path, output: Path) -> None:
    """Draw what each precision leaves of the forgetting, beside target and retrain.

    Args:
        metrics: the tidy CSV file of all metrics.
        summary: the CSV file of all metrics over seeds and items.
        output: the folder that survival_of_forgetting.png and .pdf are written into.
    """
    from qunlearn.analysis.metrics import read_metrics
    from qunlearn.analysis.summary import summaries
    from qunlearn.report.figures.survival_of_forgetting import plot

    plot(read_metrics(metrics), summaries(summary), output)


if __name__ == "__main__":
    run_script(main)
