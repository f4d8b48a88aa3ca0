"""One evaluation: from a model's folder to the files of its result."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate import reach, records, scoring
from qunlearn.models.checkpoints import is_diverged
from qunlearn.quantize import method
from qunlearn.run.files import write_json, write_jsonl
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.fixed import INT8_ROWS


def evaluate(
    folder: Path,
    precision: str,
    corpus: Corpus,
    retrain: Path | None,
    settings: EvaluateSettings,
    output: Path,
) -> dict[str, Any]:
    """Write the records and `metrics.json` of a quantized model into the folder `output`.

    Args:
        folder: the model's.
        retrain: as for `scoring.score`.

    Returns:
        Facts for the manifest: `status` is `ok`, or `diverged` when the model's training ended in
        NaN or infinite numbers, or the model gives such numbers; then the records are empty and
        there are no metrics. Otherwise also `shortfalls` (see `reach`), which are printed on
        stderr before the model is evaluated.

    Raises:
        InputError: the model, the corpus or the settings do not fit, or the memory is too small.
    """
    found, short = None, list[str]()
    if not is_diverged(folder):
        if settings.batch_size == "auto" and method.method_of(precision).live:
            settings = replace(settings, batch_size=INT8_ROWS)
        model, tokenizer = method.load_for_evaluation(folder, precision)
        context = model.config.max_position_embeddings
        short = reach.shortfalls(tokenizer, context, corpus, settings)
        for line in short:
            print(f"warning: {line}", file=sys.stderr)
        found = records.Evaluation(model, tokenizer, corpus, settings).records()
    for name in records.FIELDS:
        write_jsonl(output / name, found[name] if found else [])
    result = scoring.score(output, retrain, settings.stemmer) if found else scoring.DIVERGED_RESULT
    write_json(output / scoring.FILE, result)
    return {"status": result["status"]} | ({"shortfalls": short} if found else {})
