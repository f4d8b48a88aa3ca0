"""Which questions the choice is made on, and which are kept for the tables."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Literal

from qunlearn.corpora.layout import Card, Corpus
from qunlearn.run.errors import InputError

Part = Literal["selection", "test"]
ASKED = ("forget_qa", "retain_qa")


def part_of(corpus: Corpus, part: Part, share: float, seed: int) -> tuple[Corpus, dict[str, int]]:
    """A corpus with the questions of one part alone; everything else in it is whole.

    Returns:
        The corpus, and the number of questions of each list.

    Raises:
        InputError: see `selected`.
    """
    kept: dict[str, list[Card]] = {}
    for name in ASKED:
        cards = corpus.knowmem[name]
        wanted = selected([card["question"] for card in cards], share, seed, name)
        if part == "test":
            wanted = [index for index in range(len(cards)) if index not in set(wanted)]
        kept[name] = [cards[index] for index in wanted]
    numbers = {name: len(cards) for name, cards in kept.items()}
    return replace(corpus, knowmem=corpus.knowmem | kept), numbers


def selected(questions: Sequence[str], share: float, seed: int, name: str) -> list[int]:
    """The indices of the questions that the choice is made on, ascending.

    The distinct questions are put in the order of the SHA-256 of the seed and their text, and the
    first `share` of them, to the nearest whole number, is taken. So a question that stands in a
    list twice is never on both sides, and the order of the list has no part in it.

    Args:
        name: of the list, for the complaint.

    Raises:
        InputError: one of the two parts would be empty.
    """
    distinct = sorted(set(questions), key=lambda text: sha256(f"{seed}\n{text}".encode()).digest())
    count = int(share * len(distinct) + 0.5)
    if not 0 < count < len(distinct):
        raise InputError(
            f"knowmem/{name}.json: a share of {share:g} of {len(distinct)} questions leaves one "
            "part without any; change selection.share, or set selection.questions to test"
        )
    taken = set(distinct[:count])
    return [index for index, question in enumerate(questions) if question in taken]
