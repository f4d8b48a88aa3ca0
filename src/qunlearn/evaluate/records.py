"""What a model said and scored: one line an item, enough to compute every metric again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qunlearn.evaluate.formulas import min_k, rouge_l
from qunlearn.evaluate.prompts import cut_answer, is_answered, question_prompts, scored_reference
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl
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


def read(path: Path, kind: str) -> list[Record]:
    """Read a file of records; `kind` is the name in `FIELDS` that tells what it must hold.

    Raises:
        InputError: it is missing, does not parse, has no record or a record lacks a field.
    """
    records = read_jsonl(path)
    if not records:
        raise InputError(f"{path}: no records; evaluate the model again")
    for number, record in enumerate(records, start=1):
        if missing := [name for name in FIELDS[kind] if name not in record]:
            raise InputError(
                f"{path}: line {number} lacks {missing[0]!r}; evaluate the model again"
            )
    return records


def of_split(records: Sequence[Record], split: str, field: str) -> list[Any]:
    """A field of the PrivLeak records of one split."""
    return [record[field] for record in records if record["split"] == split]


@dataclass(frozen=True)
class Evaluation:
    """A model and what it is given. Each method makes records with the fields of `FIELDS`.

    The methods raise an InputError where the corpus does not suit the model or the settings, or
    the memory is too small.

    Attributes:
        model: in evaluation mode, on its device.
        tokenizer: the model's.
        corpus: with prompts, questions and texts.
        settings: how they are put to the model.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    corpus: "Corpus"
    settings: EvaluateSettings

    def records(self) -> dict[str, list[Record]] | None:
        """All of them by file; None when the model is broken: a likelihood is not a number."""
        texts = [text for split in ("forget", "retain", "holdout") for text in self.texts(split)]
        if not np.isfinite([text["nll_sum"] for text in texts]).all():
            return None
        return {
            VERBMEM: self.verbatim(),
            KNOWMEM_FORGET: self.questions("forget"),
            KNOWMEM_RETAIN: self.questions("retain"),
            PRIVLEAK: texts,
        }

    def verbatim(self) -> list[Record]:
        """Continuations of VerMem's prompts."""
        items = self.corpus.verbmem["forget"]
        prompts = [item["prompt"] for item in items]
        outputs = self._continued(prompts, "verbmem", new_tokens=self.settings.verbmem_tokens)
        return self._answers("prompt", prompts, outputs, [item["gt"] for item in items])

    def questions(self, split: str) -> list[Record]:
        """Answers to the questions of a split, `forget` or `retain`."""
        items, prompt = self.corpus.knowmem[f"{split}_qa"], self.settings.prompt
        outputs = self._continued(
            question_prompts(self.corpus, split, self.settings),
            f"knowmem {split}",
            new_tokens=self.settings.knowmem_tokens,
            finished=partial(is_answered, prompt=prompt),
        )
        return self._answers(
            "question",
            [item["question"] for item in items],
            [cut_answer(output, prompt) for output in outputs],
            [scored_reference(item["answer"], prompt) for item in items],
        )

    def texts(self, split: str) -> list[Record]:
        """Likelihoods of PrivLeak's texts of a split, `forget`, `retain` or `holdout`."""
        from qunlearn.evaluate.likelihood import token_logprobs

        logprobs = token_logprobs(
            self.model,
            self.tokenizer,
            self.corpus.privleak[split],
            batch_size=self.settings.batch_size,
            max_tokens=self.settings.max_tokens,
            title=f"privleak {split}",
        )
        return [
            {
                "id": f"{split}/{index}",
                "split": split,
                "tokens": len(values),
                "nll_sum": -float(values.sum(dtype=np.float64)),
                "min_k": min_k(values.astype(np.float64), self.settings.min_k),
            }
            for index, values in enumerate(logprobs)
        ]

    def _continued(self, prompts: Sequence[str], title: str, **how: Any) -> list[str]:
        from qunlearn.evaluate.generate import continuations

        size = self.settings.batch_size
        return continuations(
            self.model, self.tokenizer, prompts, batch_size=size, title=title, **how
        )

    def _answers(
        self, field: str, asked: Iterable[str], outputs: Iterable[str], references: Iterable[str]
    ) -> list[Record]:
        """A record of each answer; `field` is what holds the prompt or question."""
        return [
            {
                "id": index,
                field: text,
                "output": output,
                "reference": reference,
                "rougeL": rouge_l(output, reference, self.settings.stemmer),
            }
            for index, (text, output, reference) in enumerate(
                zip(asked, outputs, references, strict=True)
            )
        ]
