"""Put the runs of one variant at several learning rates into docs/mechanism.md."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(
    results: tuple[Path, ...],
    corpus: str,
    objective: str,
    adapter: str,
    document: Path,
    kept: Path,
) -> None:
    """Put what learning rates decide into a document: a table, a figure, and the numbers.

    Args:
        results: finished runs, one a learning rate, e.g. results/window_half.
        corpus: whose numbers are shown.
        objective: whose numbers are shown.
        adapter: the variant, e.g. full_bf16.
        document: the file; what stands between its marks is written anew, and the figure is put
            beside it.
        kept: the CSV file for the numbers.
    """
    from qunlearn.report.figures.window import FILE, plot_window
    from qunlearn.report.learning_rates import read_rate, window_markdown, write_window
    from qunlearn.report.readme import replace_marked

    found = [read_rate(run, corpus, objective, adapter) for run in results]
    rates = sorted(found, key=lambda rate: rate.lr)
    write_window(kept, rates)
    replace_marked(document, "window", window_markdown(rates))
    plot_window(rates, results[-1] / "figures")
    figure = results[-1] / "figures" / f"{FILE}.png"
    (document.parent / figure.name).write_bytes(figure.read_bytes())


if __name__ == "__main__":
    run_script(main)
