"""One evaluation: from a model's folder to the records and metrics of its result."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate import prompts, records, scoring
from qunlearn.evaluate.batching import token_logprobs
from qunlearn.evaluate.formulas import min_k, rouge_l
from qunlearn.evaluate.generate import continuations
from qunlearn.evaluate.records import Record
from qunlearn.models.checkpoints import is_diverged
from qunlearn.quantize import method
from qunlearn.run.files import write_json, write_jsonl
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.fixed import INT8_ROWS


@dataclass(frozen=True)
class Evaluation:
    """A model and what it is given. Each method makes records with the fields of `FIELDS`.

    The model is in evaluation mode, on its device. The methods raise an InputError where the corpus
    does not suit the model or the settings, or the memory is too small.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    corpus: Corpus
    settings: EvaluateSettings

    def records(self) -> dict[str, list[Record]] | None:
        """All of them by file; None when the model is broken: a likelihood is not a number."""
        texts = [text for split in ("forget", "retain", "holdout") for text in self.texts(split)]
        if not np.isfinite([text["nll_sum"] for text in texts]).all():
            return None
        return {
            records.VERBMEM: self.verbatim(),
            records.KNOWMEM_FORGET: self.questions("forget"),
            records.KNOWMEM_RETAIN: self.questions("retain"),
            records.PRIVLEAK: texts,
        }

    def verbatim(self) -> list[Record]:
        """Continuations of VerMem's prompts."""
        items, most = self.corpus.verbmem["forget"], self.settings.verbmem_tokens
        asked = [item["prompt"] for item in items]
        outputs = self._continued(asked, "verbmem", new_tokens=most)
        return self._answers("prompt", asked, outputs, [item["gt"] for item in items])

    def questions(self, split: str) -> list[Record]:
        """Answers to the questions of a split, `forget` or `retain`."""
        items, prompt = self.corpus.knowmem[f"{split}_qa"], self.settings.prompt
        outputs = self._continued(
            prompts.question_prompts(self.corpus, split, self.settings),
            f"knowmem {split}",
            new_tokens=self.settings.knowmem_tokens,
            finished=partial(prompts.is_answered, prompt=prompt),
        )
        cut = [prompts.cut_answer(output, prompt) for output in outputs]
        references = [prompts.scored_reference(item["answer"], prompt) for item in items]
        return self._answers("question", [item["question"] for item in items], cut, references)

    def texts(self, split: str) -> list[Record]:
        """Likelihoods of PrivLeak's texts of a split, `forget`, `retain` or `holdout`."""
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

    def _continued(self, asked: Sequence[str], title: str, **how: Any) -> list[str]:
        if not asked:
            return []
        how |= {"batch_size": self.settings.batch_size, "title": title}
        return continuations(self.model, self.tokenizer, asked, **how)

    def _answers(
        self, field: str, asked: Sequence[str], outputs: Sequence[str], references: Sequence[str]
    ) -> list[Record]:
        """A record of each answer; `field` is what holds the prompt or question."""
        items = enumerate(zip(asked, outputs, references, strict=True))
        known: list[Record] = [
            {"id": i, field: a, "output": o, "reference": r} for i, (a, o, r) in items
        ]
        how = self.settings.stemmer
        return [x | {"rougeL": rouge_l(x["output"], x["reference"], how)} for x in known]


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
        there are no metrics. Otherwise also `dtype`, in which the model computed, and `shortfalls`
        (see `prompts`), which are printed on stderr before the model is evaluated.

    Raises:
        InputError: the model, the corpus or the settings do not fit, or the memory is too small.
    """
    found, short, dtype = None, list[str](), ""
    if not is_diverged(folder):
        if settings.batch_size == "auto" and method.method_of(precision).live:
            settings = replace(settings, batch_size=INT8_ROWS)
        model, tokenizer = method.load_for_evaluation(folder, precision)
        dtype = str(model.dtype).removeprefix("torch.")
        context = model.config.max_position_embeddings
        short = prompts.shortfalls(tokenizer, context, corpus, settings)
        for line in short:
            print(f"warning: {line}", file=sys.stderr)
        found = Evaluation(model, tokenizer, corpus, settings).records()
    for name in records.FIELDS:
        write_jsonl(output / name, found[name] if found else [])
    result = scoring.score(output, retrain, settings.stemmer) if found else scoring.DIVERGED_RESULT
    write_json(output / scoring.FILE, result)
    return {"status": result["status"]} | ({"shortfalls": short, "dtype": dtype} if found else {})
