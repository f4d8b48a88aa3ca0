"""One evaluation from a model's folder to the files of its result."""

from pathlib import Path

from qunlearn.checkpoints import is_diverged
from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate import records, scoring
from qunlearn.files import write_json, write_jsonl
from qunlearn.settings.evaluation import EvaluateSettings


def evaluate(
    model_folder: Path,
    precision: str,
    corpus: Corpus,
    retrain: Path | None,
    settings: EvaluateSettings,
    output: Path,
) -> str:
    """Write the records and `metrics.json` of a quantized model into the folder `output`.

    Args:
        retrain: as for `scoring.score`.

    Returns:
        The status: `ok`, or `diverged` when the model's training ended in numbers that are none,
        or the model gives such numbers; then the records are empty and there are no metrics.

    Raises:
        InputError: the model, the corpus or the settings do not fit.
    """
    found = None if is_diverged(model_folder) else _ask(model_folder, precision, corpus, settings)
    for name in records.FIELDS:
        write_jsonl(output / name, found[name] if found else [])
    result = scoring.score(output, retrain, settings.stemmer) if found else scoring.DIVERGED
    write_json(output / scoring.METRICS, result)
    return str(result["status"])


def _ask(
    folder: Path, precision: str, corpus: Corpus, settings: EvaluateSettings
) -> dict[str, list[records.Record]] | None:
    from qunlearn.quantize import load_for_evaluation  # imports torch: not for a diverged model

    model, tokenizer = load_for_evaluation(folder, precision)
    return records.ask(model, tokenizer, corpus, settings)
