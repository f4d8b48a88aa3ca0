"""How a question is put and how its answer is read."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qunlearn.errors import InputError

if TYPE_CHECKING:
    from qunlearn.corpora.layout import Card

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


def question_prompt(examples: str, question: str) -> str:
    """`examples` as made by `few_shot`, then the question, open where its answer belongs."""
    return f"{examples}Question: {question}\nAnswer:"


def is_answered(text: str) -> bool:
    """Whether `cut_answer(text)` can no longer change, however the text goes on."""
    start = text.lstrip()
    return any(stop in start for stop in STOP_STRINGS)


def cut_answer(text: str) -> str:
    """The answer in a generated text: up to the first stop string, without surrounding space.

    White space before the answer is dropped first, so that an answer on a new line is read.
    """
    text = text.lstrip()
    ends = [at for stop in STOP_STRINGS if (at := text.find(stop)) >= 0]
    return text[: min(ends, default=len(text))].strip()
