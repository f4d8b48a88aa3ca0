"""Draw what each precision leaves of the forgetting."""

from pathlib import Path

from qunlearn.cli import run_script


def main(metrics: Path, output: Path) -> None:
    """Draw what each precision leaves of the forgetting, beside target and retrain.

    Args:
        metrics: the tidy CSV file of all metrics.
        output: the folder that survival_of_forgetting.png and .pdf are written into.
    """
    from qunlearn.figures.survival import plot_survival
    from qunlearn.tables.metrics import read_metrics

    plot_survival(read_metrics(metrics), output)


if __name__ == "__main__":
    run_script(main)
