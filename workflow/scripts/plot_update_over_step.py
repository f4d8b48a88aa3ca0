"""Draw how far the update moves the weights on the grid."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(
    survival: Path,
    corpus: str,
    objective: str,
    seed: int,
    adapters: tuple[str, ...],
    precisions: tuple[str, ...],
    output: Path,
) -> None:
    """Draw how far the update moves the weights, in steps of the grid, and how many codes flip.

    Args:
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        corpus: e.g. news.
        objective: e.g. npo_gdr.
        seed: of the unlearning runs.
        adapters: the variants, a line each, e.g. full full_bf16 lora.
        precisions: a pair of panels each, e.g. nf4 rtn4 rtn3g64.
        output: the folder that update_over_step_<corpus>_<objective>.png and .pdf are written into.
    """
    from qunlearn.analysis.lineage import check_measurements
    from qunlearn.analysis.metrics import Cell
    from qunlearn.report.figures.update_over_step import plot

    cells = [
        Cell(corpus, objective, adapter, seed, precision)
        for precision in precisions
        for adapter in adapters
    ]
    check_measurements(survival, cells)
    plot(survival, cells, output)


if __name__ == "__main__":
    run_script(main)
