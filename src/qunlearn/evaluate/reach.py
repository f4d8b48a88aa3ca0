"""What of a corpus a model cannot be asked or cannot answer in full, counted before it is asked."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate.prompts import STOP_STRINGS, question_prompts, scored_reference
from qunlearn.models.tokens import plain_ids
from qunlearn.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def shortfalls(
    tokenizer: "PreTrainedTokenizerBase", context: int, corpus: Corpus, settings: EvaluateSettings
) -> list[str]:
    """A line for each kind of prompt that is cut and of reference answer that no answer can equal.

    Args:
        context: tokens that the model can see.

    Raises:
        InputError: there are fewer examples than shots.
    """
    found = _cut(
        tokenizer,
        [item["prompt"] for item in corpus.verbmem["forget"]],
        context - settings.verbmem_tokens,
        "VerMem",
        "lower evaluate.verbmem_tokens or shorten the prompts",
    )
    for split, metric in (("forget", "KnowMem"), ("retain", "Utility")):
        found += _cut(
            tokenizer,
            question_prompts(corpus, split, settings),
            context - settings.knowmem_tokens,
            metric,
            "lower evaluate.shots",
        )
        references = [
            scored_reference(item["answer"], settings.prompt)
            for item in corpus.knowmem[f"{split}_qa"]
        ]
        found += _unreachable(tokenizer, references, settings.knowmem_tokens, metric)
    return found


def _cut(
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[str],
    room: int,
    metric: str,
    remedy: str,
) -> list[str]:
    count = sum(len(plain_ids(tokenizer, prompt)) > room for prompt in prompts)
    if not count:
        return []
    return [
        f"{metric}: {count} of {len(prompts)} prompts are longer than the {room} tokens that the "
        f"model's context leaves them, and lose their beginning; {remedy}"
    ]


def _unreachable(
    tokenizer: "PreTrainedTokenizerBase", references: Sequence[str], tokens: int, metric: str
) -> list[str]:
    found = []
    stopped = sum(any(stop in text for stop in STOP_STRINGS) for text in references)
    if stopped:
        found.append(
            f"{metric}: {stopped} of {len(references)} reference answers go on after a blank line "
            "or a question, where the benchmark cuts a model's answer but not the reference, so "
            "that none can equal them; shorten them or set evaluate.prompt to plain"
        )
    begin = len(plain_ids(tokenizer, ""))
    long = sum(len(plain_ids(tokenizer, text)) - begin > tokens for text in references)
    if long:
        found.append(
            f"{metric}: {long} of {len(references)} reference answers are longer than the {tokens} "
            "tokens that are generated, so that no answer can equal them; raise "
            "evaluate.knowmem_tokens"
        )
    return found
