"""Recompute an evaluation's metrics from its records.

Args:
    folder: output folder of evaluate.py; its metrics.json is rewritten.
    retrain: privleak.jsonl of the retrain model, as given to evaluate.py.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script


@run_script
def main(folder: Path, retrain: Path | None = None) -> None:
    from qunlearn.evaluate import records, scoring
    from qunlearn.run.files import write_json
    from qunlearn.run.manifest import list_again, verify

    hide_unused()  # rouge_score reaches for both through nltk and needs neither
    for name in records.FIELDS:
        verify(folder / name)
    write_json(folder / scoring.FILE, scoring.rescore(folder, retrain))
    list_again(folder, scoring.FILE)
