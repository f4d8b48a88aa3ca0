"""What a model said and scored: one line an item, enough to compute every metric again."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qunlearn.errors import InputError
from qunlearn.evaluate.metrics import min_k, rouge_l
from qunlearn.evaluate.prompts import cut_answer, few_shot, is_answered, question_prompt
from qunlearn.files import read_jsonl
from qunlearn.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.corpora.layout import Corpus

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
) -> dict[str, list[Record]] | None:
    """Put a corpus's prompts, questions and texts to a model.

    Returns:
        File name -> records, with the fields of `FIELDS`; None when the model is broken: it gives
        a text a likelihood that is not a number.

    Raises:
        InputError: the corpus does not suit the model or the settings.
    """
    texts = _likelihood_records(model, tokenizer, corpus, settings)
    if not all(np.isfinite(text["nll_sum"]) for text in texts):
        return None
    return {
        VERBMEM: _verbatim_records(model, tokenizer, corpus, settings),
        KNOWMEM_FORGET: _question_records(model, tokenizer, corpus, settings, "forget"),
        KNOWMEM_RETAIN: _question_records(model, tokenizer, corpus, settings, "retain"),
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


def _question_records(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    corpus: "Corpus",
    settings: EvaluateSettings,
    split: str,
) -> list[Record]:
    from qunlearn.evaluate.generate import continuations

    items = corpus.knowmem[f"{split}_qa"]
    examples = few_shot(
        corpus.knowmem[f"{split}_qa_icl"], settings.shots, f"knowmem/{split}_qa_icl.json"
    )
    outputs = continuations(
        model,
        tokenizer,
        [question_prompt(examples, item["question"]) for item in items],
        new_tokens=settings.knowmem_tokens,
        batch_size=settings.batch_size,
        finished=is_answered,
        title=f"knowmem {split}",
    )
    answers = [cut_answer(output) for output in outputs]
    return [
        {
            "id": index,
            "question": item["question"],
            "output": answer,
            "reference": item["answer"],
            "rougeL": rouge_l(answer, item["answer"], settings.stemmer),
        }
        for index, (item, answer) in enumerate(zip(items, answers, strict=True))
    ]


def _likelihood_records(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    corpus: "Corpus",
    settings: EvaluateSettings,
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
