"""How a question is asked and how its answer is read.

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
    from qunlearn.corpora.layout import Card, Corpus

# What a model writes when it goes on to the next example of its prompt.
STOP_STRINGS = ("\n\n", "\nQuestion", "Question:")


def few_shot(examples: Sequence["Card"], shots: int, name: str) -> str:
    """The examples that precede every question: the first `shots` of `examples`.

    Args:
        examples: `question` and `answer` pairs.
        name: the corpus file that they are from, for the complaint.

    Raises:
        InputError: there are fewer examples than shots.
    """
    if len(examples) < shots:
        raise InputError(
            f"{name} has {len(examples)} question-answer pairs but shots is {shots}; "
            "add pairs or lower shots"
        )
    return "".join(
        f"Question: {pair['question']}\nAnswer: {pair['answer']}\n\n" for pair in examples[:shots]
    )


def question_prompts(corpus: "Corpus", split: str, settings: EvaluateSettings) -> list[str]:
    """The prompt of each question of a split, `forget` or `retain`.

    Raises:
        InputError: there are fewer examples than shots.
    """
    icl = f"{split}_qa_icl"
    examples = few_shot(corpus.knowmem[icl], settings.shots, f"knowmem/{icl}.json")
    return [
        question_prompt(examples, item["question"], settings.prompt)
        for item in corpus.knowmem[f"{split}_qa"]
    ]


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
