"""Write a card for every quantized model, into cards/<cell>.md and the model's own folder.

Args:
    metrics: the tidy CSV file of all metrics.
    results: the experiment's folder, with quantized/, unlearned/ and models/ below it.
    cells: e.g. news/npo_gdr/lora/seed0/nf4 or news/target/bf16.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(metrics: Path, results: Path, cells: list[str]) -> None:
    from qunlearn.analysis.summary import read_metrics
    from qunlearn.report.cards import card
    from qunlearn.run.files import write_text
    from qunlearn.run.manifest import verify

    for cell in cells:
        verify(results / "quantized" / cell, content=False)  # all of them at once: sizes will do
    scores = read_metrics(metrics)
    cards = {cell: card(results, cell, scores) for cell in cells}  # all, before any is written
    for cell, text in cards.items():
        write_text(results / f"cards/{cell}.md", text)
        write_text(results / "quantized" / cell / "README.md", text)
