"""Draw what changes from bf16 to a few bits."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(metrics: Path, summary: Path, precisions: tuple[str, ...], output: Path) -> None:
    """Draw every metric at bf16 and at a few precisions, beside target and retrain.

    Args:
        metrics: the tidy CSV file of all metrics.
        summary: the CSV file of all metrics over seeds and items.
        precisions: to compare with bf16, from fine to coarse, e.g. nf4 rtn3g64.
        output: the folder that slope.png and .pdf are written into.
    """
    from qunlearn.analysis.metrics import read_metrics
    from qunlearn.analysis.summary import summaries
    from qunlearn.report.figures.slope import plot

    plot(read_metrics(metrics), summaries(summary), precisions, output)


if __name__ == "__main__":
    run_script(main)
