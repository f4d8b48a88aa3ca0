"""What lists of a corpus have in common that should be apart.

The benchmark's own corpora have overlaps. In MUSE-Books a question stands both among the in-context
examples and among the evaluated questions, and all of retain1 lies inside retain2; News repeats
articles. These are recorded in the corpus's manifest and named under the main table. An overlap
that makes a number wrong is refused.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from qunlearn.corpora.layout import Corpus
from qunlearn.run.errors import InputError

WINDOW, STRIDE = 80, 40
SPAN = WINDOW + STRIDE - 1
"""The shortest passage that is always found, in characters."""
RETAIN1, RETAIN2 = "raw/retain1.json", "raw/retain2.json"
RETAINED = (RETAIN1, RETAIN2, "raw/pretrain.json")
TRAINED = ("privleak/forget.json", "raw/forget.json", *RETAINED)
FEW = 0.1
"""The largest share that is not refused: about half a 95 % interval over the usual 100 items."""


class Rule(NamedTuple):
    """What a list must not have in common with others."""

    others: tuple[str, ...]  # files, in the order in which they are looked at
    tolerated: float  # the largest share of the list that may stand in them
    effect: str  # what an overlap means for the numbers


FORGOTTEN = Rule(RETAINED, FEW, "retrain has seen these")
GIVEN_AWAY = "the prompt gives their answers away"
RULES = {
    "raw/holdout.json": Rule(TRAINED, FEW, "no metric reads these"),
    "privleak/holdout.json": Rule(TRAINED, 0, "PrivLeak takes these for unseen"),
    "raw/forget.json": FORGOTTEN,
    "privleak/forget.json": FORGOTTEN,
    "verbmem/forget.json": FORGOTTEN,
    RETAIN1: Rule((RETAIN2,), 1, "Utility is not held out from the regulariser on these"),
    "knowmem/forget_qa.json": Rule(("knowmem/forget_qa_icl.json",), FEW, GIVEN_AWAY),
    "knowmem/retain_qa.json": Rule(("knowmem/retain_qa_icl.json",), FEW, GIVEN_AWAY),
}
"""File -> what is looked for."""


@dataclass(frozen=True)
class Overlap:
    """Items of one file that stand in others too."""

    file: str  # a key of `RULES`
    item: int  # index of the first of them
    also_in: str  # the file that the first of them stands in too
    count: int  # how many they are
    of: int  # how many items the file has

    def __str__(self) -> str:
        verb = "stands" if self.count == 1 else "stand"
        return (
            f"{self.count} of {self.of} items of {self.file} also {verb} in {self.also_in} "
            f"(first: item {self.item}): {RULES[self.file].effect}"
        )


class Passages:
    """Finds long passages that a text shares with known ones.

    Windows of 80 characters at every 40th position of the known texts are looked up at the
    positions of another, with runs of white space taken as one space. A shared passage of `SPAN`
    (119) characters is always found, one below 80 never; paraphrases are not.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {_one_spaced(text) for text in texts}
        self._windows = defaultdict[str, list[str]](list)
        for text in self._texts:
            for start in range(0, len(text) - WINDOW + 1, STRIDE):
                self._windows[text[start : start + WINDOW]].append(text)

    def shared_with(self, text: str) -> bool:
        """Whether a passage that the texts were sampled for stands in `text` too."""
        text = _one_spaced(text)
        starts = range(len(text) - WINDOW + 1)
        return any(text[start : start + WINDOW] in self._windows for start in starts)

    def hold(self, text: str) -> bool:
        """Whether `text` stands whole in one of the texts; below `SPAN`: whether it is one."""
        text = _one_spaced(text)
        if len(text) < SPAN:
            return text in self._texts
        # At one of the first positions the text around it was sampled.
        windows = (text[start : start + WINDOW] for start in range(STRIDE))
        return any(text in known for window in windows for known in self._windows.get(window, ()))


def find(corpus: Corpus, source: Corpus | None = None) -> list[Overlap]:
    """Every overlap that `RULES` name, in their order; blank texts are passed over.

    A text counts where it stands whole in a text of the other list (`Passages.hold`).

    Args:
        source: what `corpus` is an excerpt of; Utility's questions are about all its retain2.
    """
    known = {
        other: Passages(text for item in corpus.items(other) for text in _spellings(item))
        for other in {other for rule in RULES.values() for other in rule.others}
    }
    about = known if source is None else {RETAIN2: Passages(source.raw["retain2"])}
    found = []
    for file, rule in RULES.items():
        where, items = about if file == RETAIN1 else known, corpus.items(file)
        both = [
            (index, other)
            for index, item in enumerate(items)
            for other in [o for o in rule.others if any(map(where[o].hold, _spellings(item)))][:1]
        ]
        if both:
            found.append(Overlap(file, *both[0], count=len(both), of=len(items)))
    return found


def check(where: str, corpus: Corpus) -> None:
    """Raise an InputError about an overlap that makes a number wrong; `where` the file is."""
    for overlap in find(corpus):
        if overlap.count > RULES[overlap.file].tolerated * overlap.of:
            raise InputError(
                f"{where}{overlap.file}: item {overlap.item} is also in {overlap.also_in} "
                f"({overlap.count} of {overlap.of} items are in other lists): "
                f"{RULES[overlap.file].effect}; drop them from one of the two"
            )


def _spellings(item: Any) -> list[str]:
    """An item's text, in each of the ways in which it may stand elsewhere; none if it is blank."""
    if isinstance(item, str):
        return [item] if item.strip() else []
    if "question" in item:
        return [item["question"]]
    # The benchmark strips prompt and continuation, also where a word goes on.
    return [f"{item['prompt']} {item['gt']}", item["prompt"] + item["gt"]]


def _one_spaced(text: str) -> str:
    return " ".join(text.split())
