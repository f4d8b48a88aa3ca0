"""Draw what rounding leaves of the update, matrix by matrix."""

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
    """Draw what rounding leaves of the update: cosine and projection, layer by module.

    Args:
        survival: the folder of the measurements, <corpus>/<objective>/<adapter>/seed<k>/ below it.
        corpus: e.g. news.
        objective: e.g. npo_gdr.
        seed: of the unlearning runs.
        adapters: the variants, a column of panels each, e.g. full full_bf16 lora.
        precisions: a row of panels each, e.g. nf4 rtn4 rtn3g64.
        output: the folder that update_survival_<corpus>_<objective>.png and .pdf are written into.
    """
    from qunlearn.analysis.lineage import check_measurements
    from qunlearn.analysis.metrics import Cell
    from qunlearn.report.figures.update_survival import plot

    cells = [
        Cell(corpus, objective, adapter, seed, precision)
        for precision in precisions
        for adapter in adapters
    ]
    check_measurements(survival, cells)
    plot(survival, cells, output)


if __name__ == "__main__":
    run_script(main)
