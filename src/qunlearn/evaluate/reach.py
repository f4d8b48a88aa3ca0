"""What of a corpus a model cannot be given or cannot answer in full, counted beforehand."""

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

    def length(text: str) -> int:
        return len(plain_ids(tokenizer, text))

    def cut(metric: str, prompts: Sequence[str], new_tokens: int, remedy: str) -> None:
        room = context - new_tokens
        if count := sum(length(prompt) > room for prompt in prompts):
            found.append(
                f"{metric}: {count} of {len(prompts)} prompts are longer than the {room} tokens "
                f"that the model's context leaves them, and lose their beginning; {remedy}"
            )

    found: list[str] = []
    prompts = [item["prompt"] for item in corpus.verbmem["forget"]]
    remedy = "lower evaluate.verbmem_tokens or shorten the prompts"
    cut("VerMem", prompts, settings.verbmem_tokens, remedy)
    begin, most = length(""), settings.knowmem_tokens
    for split, metric in (("forget", "KnowMem"), ("retain", "Utility")):
        prompts = question_prompts(corpus, split, settings)
        cut(metric, prompts, most, "lower evaluate.shots")
        answers = [item["answer"] for item in corpus.knowmem[f"{split}_qa"]]
        references = [scored_reference(answer, settings.prompt) for answer in answers]
        if count := sum(any(stop in text for stop in STOP_STRINGS) for text in references):
            found.append(
                f"{metric}: {count} of {len(references)} reference answers go on after a blank "
                "line or a question, where the benchmark cuts a model's answer but not the "
                "reference, so that none can equal them; shorten them or set evaluate.prompt to "
                "plain"
            )
        if count := sum(length(text) - begin > most for text in references):
            found.append(
                f"{metric}: {count} of {len(references)} reference answers are longer than the "
                f"{most} tokens that are generated, so that no answer can equal them; raise "
                "evaluate.knowmem_tokens"
            )
    return found
