"""Draw forget NLL and retain loss of unlearning runs over their updates."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(unlearned: Path, models: tuple[str, ...], output: Path) -> None:
    """Draw forget NLL and retain loss of unlearning runs over their updates.

    Args:
        unlearned: the folder of the unlearned models.
        models: the runs below it, <corpus>/<objective>/<adapter>/seed<k> each.
        output: the folder that loss_curves.png and .pdf are written into.
    """
    from qunlearn.report.figures.loss_curves import plot

    plot(unlearned, models, output)


if __name__ == "__main__":
    run_script(main)
