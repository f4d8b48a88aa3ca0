"""One evaluation: from a model, or from its folder, to the files of its result."""

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate import reach, records, scoring
from qunlearn.models.checkpoints import is_diverged
from qunlearn.quantize.method import method_of
from qunlearn.run.files import write_json, write_jsonl
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.fixed import INT8_ROWS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def evaluate(
    model_folder: Path,
    precision: str,
    corpus: Corpus,
    retrain: Path | None,
    settings: EvaluateSettings,
    output: Path,
) -> dict[str, Any]:
    """Write the records and `metrics.json` of a quantized model into the folder `output`.

    Args:
        retrain: as for `scoring.score`.

    Returns:
        Facts for the manifest: `status` is `ok`, or `diverged` when the model's training ended in
        numbers that are none, or the model gives such numbers; then the records are empty and
        there are no metrics. Of a model that was asked also `batches` (see `batching.BatchLog`)
        and `shortfalls` (see `reach`), which are said on stderr before it is asked.

    Raises:
        InputError: the model, the corpus or the settings do not fit, or the memory is too small.
    """
    if is_diverged(model_folder):
        return leave_empty(output)
    from qunlearn.quantize.checkpoint import (
        load_for_evaluation,  # imports torch: not for a diverged model
    )

    model, tokenizer = load_for_evaluation(model_folder, precision)
    return evaluate_model(model, tokenizer, precision, corpus, retrain, settings, output)


def evaluate_model(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    precision: str,
    corpus: Corpus,
    retrain: Path | None,
    settings: EvaluateSettings,
    output: Path,
) -> dict[str, Any]:
    """`evaluate` of a model that is in memory, in this precision and ready to be asked."""
    from qunlearn.evaluate.batching import BatchLog

    if settings.batch_size == "auto" and method_of(precision).live:
        settings = replace(settings, batch_size=INT8_ROWS)
    logs = {name: BatchLog() for name in records.FIELDS}
    context = model.config.max_position_embeddings
    short = reach.shortfalls(tokenizer, context, corpus, settings)
    for line in short:
        print(f"warning: {line}", file=sys.stderr)
    found = records.ask(model, tokenizer, corpus, settings, logs)
    if found is None:
        return leave_empty(output)
    for name, rows in found.items():
        write_jsonl(output / name, rows)
    result = scoring.score(output, retrain, settings.stemmer)
    write_json(output / scoring.FILE, result)
    batches = {name.removesuffix(".jsonl"): asdict(log) for name, log in logs.items()}
    return {"status": result["status"], "batches": batches, "shortfalls": short}


def leave_empty(output: Path) -> dict[str, Any]:
    """The files of a diverged model's evaluation, and its facts."""
    for name in records.FIELDS:
        write_jsonl(output / name, [])
    write_json(output / scoring.FILE, scoring.DIVERGED_RESULT)
    return {"status": scoring.DIVERGED_RESULT["status"]}
