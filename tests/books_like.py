"""A corpus with the shape and the overlaps of MUSE-Books: few documents, most of them long."""

import random
from collections.abc import Iterator

from qunlearn.corpora.layout import Card, Continuation, Corpus

LONGEST = 287_840
"""Characters of the longest document to be retained."""
TEXTS = 40
"""Texts of each list of privleak and items of verbmem; the benchmark has 100."""


def prose(seed: str, characters: int) -> str:
    """Words without a meaning, of which no passage comes twice."""
    rng = random.Random(seed)
    words = (f"{rng.getrandbits(20):x}" for _ in range(characters // 4))
    return " ".join(words)[:characters].rpartition(" ")[0]


def spans(documents: list[str], characters: int) -> Iterator[str]:
    """Texts of one length out of all documents, stripped as the benchmark strips them."""
    for number in range(TEXTS):
        text = documents[number % len(documents)]
        start = number * (len(text) - characters) // TEXTS
        yield text[start : start + characters].strip()


def books() -> Corpus:
    """Forget 4 books; retain1 lies inside retain2; examples are asked as well."""
    forget = [prose(f"forget {number}", 100_000) for number in range(4)]
    lengths = [LONGEST, 30_000, 20_000, 8_000, 2_000, 500]
    retain1 = [prose(f"retain {number}", length) for number, length in enumerate(lengths)]
    retain1[1] += f" Quoted: {forget[0][5_000:5_400]} So far. {prose('retain 1, part 2', 9_000)}"
    retain2 = [*retain1[:4], f"{retain1[4]}\n\n{retain1[5]}", prose("retain2", 60_000)]
    holdout = [prose(f"holdout {number}", 80_000) for number in range(3)]
    cards = [Card(question=f"Who met {n}?", answer=prose(f"{n}", 20)) for n in range(220)]
    return Corpus(
        raw=dict(forget=forget, retain1=retain1, retain2=retain2, holdout=holdout, pretrain=[]),
        knowmem={
            "forget_qa": cards[:100],
            "forget_qa_icl": cards[200:210],
            "retain_qa": cards[100:200],
            "retain_qa_icl": [cards[150], *cards[210:219]],
        },
        verbmem={
            "forget": [
                Continuation(prompt=text[:3_000].strip(), gt=text[3_000:].strip())
                for text in spans(forget, 3_600)
            ]
        },
        privleak={
            "forget": list(spans(forget, 7_500)),
            "retain": list(spans(retain2[:1], 7_500)),
            "holdout": list(spans(holdout, 7_500)),
        },
    )
