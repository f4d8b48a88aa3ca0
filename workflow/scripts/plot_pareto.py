"""Draw forgetting against Utility, and where quantization moves both."""

from pathlib import Path

from qunlearn.cli import run_script


def main(metrics: Path, summary: Path, output: Path) -> None:
    """Draw forgetting against Utility, and where quantization moves both.

    Args:
        metrics: the tidy CSV file of all metrics.
        summary: the CSV file of all metrics over seeds and items.
        output: the folder that pareto.png and .pdf are written into.
    """
    from qunlearn.figures.pareto import plot
    from qunlearn.tables.metrics import read_metrics
    from qunlearn.tables.summary import summaries

    plot(read_metrics(metrics), summaries(summary), output)


if __name__ == "__main__":
    run_script(main)
