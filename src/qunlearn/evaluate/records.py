"""What a model said and scored: one line an item, enough to compute every metric again."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qunlearn.evaluate.formulas import min_k, rouge_l
from qunlearn.evaluate.prompts import (
    cut_answer,
    is_answered,
    question_prompts,
    scored_reference,
)
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl
from qunlearn.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.corpora.layout import Corpus
    from qunlearn.evaluate.batching import BatchLog

Record = dict[str, Any]

VERBMEM = "verbmem.jsonl"
KNOWMEM_FORGET = "knowmem_forget.jsonl"
KNOWMEM_RETAIN = "knowmem_retain.jsonl"
PRIVLEAK = "privleak.jsonl"
FIELDS = {
    VERBMEM: ("id", "prompt", "output", "reference", "rougeL"),
    KNOWMEM_FORGET: ("id", "question", "output", "reference", "rougeL"),
    KNOWMEM_RETAIN: ("id", "question", "output", "reference", "rougeL"),
    PRIVLEAK: ("id", "split", "tokens", "nll_sum", "min_k"),
}
SPLITS = ("forget", "retain", "holdout")


def ask(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    corpus: "Corpus",
    settings: EvaluateSettings,
    logs: "Mapping[str, BatchLog] | None" = None,
) -> dict[str, list[Record]] | None:
    """Put a corpus's prompts, questions and texts to a model.

    Args:
        logs: keyed as the result is; each is told what its batches came to.

    Returns:
        File name -> records, with the fields of `FIELDS`; None when the model is broken: it gives
        a text a likelihood that is not a number.

    Raises:
        InputError: the corpus does not suit the model or the settings, or the memory is too small.
    """
    log = (logs or {}).get
    texts = _likelihood_records(model, tokenizer, corpus, settings, log(PRIVLEAK))
    if not all(np.isfinite(text["nll_sum"]) for text in texts):
        return None
    return {
        VERBMEM: _verbatim_records(model, tokenizer, corpus, settings, log(VERBMEM)),
        KNOWMEM_FORGET: question_records(
            model, tokenizer, corpus, settings, "forget", log(KNOWMEM_FORGET)
        ),
        KNOWMEM_RETAIN: question_records(
            model, tokenizer, corpus, settings, "retain", log(KNOWMEM_RETAIN)
        ),
        PRIVLEAK: texts,
    }


def read(path: Path, kind: str) -> list[Record]:
    """Read a file of records; `kind` is the name in `FIELDS` that tells what it must hold.

    Raises:
        InputError: it is missing, does not parse, has no record or a record lacks a field.
    """
    records = read_jsonl(path)
    if not records:
        raise InputError(f"{path}: no records; evaluate the model again")
    for number, record in enumerate(records, start=1):
        missing = [name for name in FIELDS[kind] if name not in record]
        if missing:
            raise InputError(
                f"{path}: line {number} lacks {missing[0]!r}; evaluate the model again"
            )
    return records


def of_split(records: Sequence[Record], split: str, field: str) -> list[Any]:
    """A field of the PrivLeak records of one split."""
    return [record[field] for record in records if record["split"] == split]


def _verbatim_records(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    corpus: "Corpus",
    settings: EvaluateSettings,
    log: "BatchLog | None",
) -> list[Record]:
    from qunlearn.evaluate.generate import continuations

    items = corpus.verbmem["forget"]
    outputs = continuations(
        model,
        tokenizer,
        [item["prompt"] for item in items],
        new_tokens=settings.verbmem_tokens,
        batch_size=settings.batch_size,
        title="verbmem",
        log=log,
    )
    return [
        {
            "id": index,
            "prompt": item["prompt"],
            "output": output,
            "reference": item["gt"],
            "rougeL": rouge_l(output, item["gt"], settings.stemmer),
        }
        for index, (item, output) in enumerate(zip(items, outputs, strict=True))
    ]


def question_records(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    corpus: "Corpus",
    settings: EvaluateSettings,
    split: str,
    log: "BatchLog | None" = None,
) -> list[Record]:
    """Answers to the questions of a split, `forget` or `retain`, with the fields of `FIELDS`.

    Raises:
        InputError: as `ask` does.
    """
    from qunlearn.evaluate.generate import continuations

    items = corpus.knowmem[f"{split}_qa"]
    outputs = continuations(
        model,
        tokenizer,
        question_prompts(corpus, split, settings),
        new_tokens=settings.knowmem_tokens,
        batch_size=settings.batch_size,
        finished=partial(is_answered, prompt=settings.prompt),
        title=f"knowmem {split}",
        log=log,
    )
    answers = [cut_answer(output, settings.prompt) for output in outputs]
    references = [scored_reference(item["answer"], settings.prompt) for item in items]
    return [
        {
            "id": index,
            "question": item["question"],
            "output": answer,
            "reference": reference,
            "rougeL": rouge_l(answer, reference, settings.stemmer),
        }
        for index, (item, answer, reference) in enumerate(
            zip(items, answers, references, strict=True)
        )
    ]


def _likelihood_records(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    corpus: "Corpus",
    settings: EvaluateSettings,
    log: "BatchLog | None",
) -> list[Record]:
    from qunlearn.evaluate.likelihood import token_logprobs

    records = []
    for split in SPLITS:
        logprobs = token_logprobs(
            model,
            tokenizer,
            corpus.privleak[split],
            batch_size=settings.batch_size,
            max_tokens=settings.max_tokens,
            title=f"privleak {split}",
            log=log,
        )
        records += [
            {
                "id": f"{split}/{index}",
                "split": split,
                "tokens": len(values),
                "nll_sum": -float(values.sum(dtype=np.float64)),
                "min_k": min_k(values.astype(np.float64), settings.min_k),
            }
            for index, values in enumerate(logprobs)
        ]
    return records
