"""How a question is asked, how its answer is read, and what can be neither asked nor answered.

`muse` is the benchmark's way (muse_bench's metrics/knowmem.py; open-unlearning's
src/data/utils.py and src/evals/metrics/utils.py do the same): the prompt ends in "Answer: " with a
space, and what a model says is cut at the first stop string, so that an answer that begins with a
blank line is empty. The reference answer is not cut.

`plain` ends in "Answer:". White space before an answer is dropped before it is cut, and the
reference is cut as the answer is.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import EvaluateSettings, Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from qunlearn.corpora.layout import Card, Corpus

# What a model writes when it goes on to the next example of its prompt.
STOP_STRINGS = ("\n\n", "\nQuestion", "Question:")


def few_shot(examples: Sequence["Card"], shots: int, name: str) -> str:
    """The first `shots` examples, which precede every question.

    Raises:
        InputError: there are fewer in the corpus file `name`.
    """
    if len(examples) < shots:
        raise InputError(
            f"{name} has {len(examples)} pairs but shots is {shots}; add pairs or lower shots"
        )
    shown = (f"Question: {e['question']}\nAnswer: {e['answer']}\n\n" for e in examples[:shots])
    return "".join(shown)


def question_prompts(corpus: "Corpus", split: str, settings: EvaluateSettings) -> list[str]:
    """The prompt of each question of a split, `forget` or `retain`; errors as `few_shot`."""
    icl, asked = f"{split}_qa_icl", corpus.knowmem[f"{split}_qa"]
    if not asked:
        return []
    examples = few_shot(corpus.knowmem[icl], settings.shots, f"knowmem/{icl}.json")
    return [question_prompt(examples, item["question"], settings.prompt) for item in asked]


def question_prompt(examples: str, question: str, prompt: Prompt) -> str:
    """`examples` as made by `few_shot`, then the question, open where its answer belongs."""
    return f"{examples}Question: {question}\nAnswer:" + (" " if prompt == "muse" else "")


def is_answered(text: str, prompt: Prompt) -> bool:
    """Whether `cut_answer(text, prompt)` can no longer change, however the text goes on."""
    start = text.lstrip() if prompt == "plain" else text
    return any(stop in start for stop in STOP_STRINGS)


def cut_answer(text: str, prompt: Prompt) -> str:
    """The answer in a generated text: up to the first stop string, without surrounding space."""
    if prompt == "plain":
        text = text.lstrip()
    ends = [at for stop in STOP_STRINGS if (at := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))].strip()


def scored_reference(answer: str, prompt: Prompt) -> str:
    """The reference answer as a model's answer is compared with it."""
    return cut_answer(answer, prompt) if prompt == "plain" else answer


def shortfalls(
    tokenizer: "PreTrainedTokenizerBase", context: int, corpus: "Corpus", settings: EvaluateSettings
) -> list[str]:
    """A line for each kind of prompt that is cut and of reference answer that no answer can equal.

    Args:
        context: tokens that the model can see.
    """
    from qunlearn.models.tokens import plain_ids

    found: list[str] = []

    def note(metric: str, flags: Sequence[bool], what: str, remedy: str) -> None:
        if any(flags):
            found.append(f"{metric}: {sum(flags)} of {len(flags)} {what}; {remedy}")

    def lengths(texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids in plain_ids(tokenizer, texts)]

    def cut(metric: str, prompts: Sequence[str], new_tokens: int, remedy: str) -> None:
        room = context - new_tokens
        what = f"prompts exceed the {room} tokens that the context leaves them and lose their start"
        note(metric, [length > room for length in lengths(prompts)], what, remedy)

    prompts = [item["prompt"] for item in corpus.verbmem["forget"]]
    remedy = "lower evaluate.verbmem_tokens or shorten the prompts"
    cut("VerMem", prompts, settings.verbmem_tokens, remedy)
    (begin,), most = lengths([""]), settings.knowmem_tokens
    for split, metric in (("forget", "KnowMem"), ("retain", "Utility")):
        cut(metric, question_prompts(corpus, split, settings), most, "lower evaluate.shots")
        answers = [item["answer"] for item in corpus.knowmem[f"{split}_qa"]]
        references = [scored_reference(answer, settings.prompt) for answer in answers]
        note(
            metric,
            [any(stop in text for stop in STOP_STRINGS) for text in references],
            "reference answers go on after a blank line or a question, where the benchmark cuts a "
            "model's answer but not the reference, so that none can equal them",
            "shorten them or set evaluate.prompt to plain",
        )
        note(
            metric,
            [length - begin > most for length in lengths(references)],
            f"reference answers are longer than the {most} tokens that are generated, so that no "
            "answer can equal them",
            "raise evaluate.knowmem_tokens",
        )
    return found
