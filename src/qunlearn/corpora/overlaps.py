"""What lists of a corpus have in common that should be apart.

The benchmark's own corpora have overlaps. In MUSE-Books a question stands both among the in-context
examples and among those that are asked, and all of retain1 lies inside retain2; News repeats
articles. These are recorded in the corpus's manifest and named under the main table. An overlap
that makes a number wrong is refused.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qunlearn.corpora.layout import Corpus
from qunlearn.corpora.passages import Passages
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

RETAIN1, RETAIN2 = "raw/retain1.json", "raw/retain2.json"
RETAINED = (RETAIN1, RETAIN2, "raw/pretrain.json")
TRAINED = ("privleak/forget.json", "raw/forget.json", *RETAINED)
FEW = 0.1
"""The largest share that is not refused: about half a 95 % interval over the usual 100 items."""
UNSEEN = "holdout texts must be unseen, so drop it from one of them"
FORGOTTEN = "what is to be forgotten must not be retained too, so drop it from one of them"
UNASKED = "in-context examples must not give answers away, so use others"


@dataclass(frozen=True)
class Rule:
    """What a list must not have in common with others.

    Attributes:
        others: files; they are looked at in this order.
        tolerated: the largest share of the list that may stand in them.
        effect: what an overlap means for the numbers.
        remedy: what to do where too much overlaps.
    """

    others: tuple[str, ...]
    tolerated: float
    effect: str
    remedy: str = ""


RULES: dict[str, Rule] = {
    "raw/holdout.json": Rule(TRAINED, FEW, "no metric reads these", UNSEEN),
    "privleak/holdout.json": Rule(TRAINED, 0, "PrivLeak takes these for unseen", UNSEEN),
    "raw/forget.json": Rule(RETAINED, FEW, "retrain has seen these", FORGOTTEN),
    "privleak/forget.json": Rule(RETAINED, FEW, "retrain has seen these", FORGOTTEN),
    "verbmem/forget.json": Rule(RETAINED, FEW, "retrain has seen these", FORGOTTEN),
    RETAIN1: Rule((RETAIN2,), 1, "Utility is not held out from the regulariser on these"),
} | {
    f"knowmem/{split}_qa.json": Rule(
        (f"knowmem/{split}_qa_icl.json",), FEW, "the prompt gives their answers away", UNASKED
    )
    for split in ("forget", "retain")
}
"""File -> what is looked for. `scal` and `sust` overlap with `raw` by design: nothing is."""


@dataclass(frozen=True)
class Overlap:
    """Items of one file that stand in others too.

    Attributes:
        file: a key of `RULES`.
        item: index of the first of them.
        also_in: the file that the first of them stands in too.
        count: how many they are.
        of: how many items the file has.
    """

    file: str
    item: int
    also_in: str
    count: int
    of: int

    def __str__(self) -> str:
        verb = "stands" if self.count == 1 else "stand"
        return (
            f"{self.count} of {self.of} items of {self.file} also {verb} in {self.also_in} "
            f"(first: item {self.item}): {RULES[self.file].effect}"
        )


def find(corpus: Corpus, source: Corpus | None = None) -> list[Overlap]:
    """Every overlap that `RULES` name, in their order; blank texts are passed over.

    A text counts where it stands whole in a text of the other list (`Passages.hold`).

    Args:
        source: what `corpus` is an excerpt of; Utility's questions are about all its retain2.
    """
    others = dict.fromkeys(other for rule in RULES.values() for other in rule.others)
    known = {
        other: Passages(text for item in _items(corpus, other) for text in item) for other in others
    }
    about = known if source is None else {RETAIN2: Passages(source.raw["retain2"])}
    found = []
    for file, rule in RULES.items():
        items = _items(corpus, file)
        both = [
            (index, other)
            for index, texts in enumerate(items)
            if texts[0].strip()
            and (other := _holder(texts, rule.others, about if file == RETAIN1 else known))
        ]
        if both:
            found.append(Overlap(file, *both[0], count=len(both), of=len(items)))
    return found


def check(folder: Path, corpus: Corpus) -> None:
    """Complain about an overlap that makes a number wrong.

    Args:
        folder: that `corpus` was read from.

    Raises:
        InputError: names the file and the item.
    """
    for overlap in find(corpus):
        rule = RULES[overlap.file]
        if overlap.count > rule.tolerated * overlap.of:
            raise InputError(
                f"{folder / overlap.file}: item {overlap.item} is also in {overlap.also_in} "
                f"({overlap.count} of {overlap.of} items are in other lists); {rule.remedy}"
            )


def report(corpus: Corpus, source: Corpus) -> list[dict[str, Any]]:
    """What `find` finds, as a manifest records it; each overlap is a warning on stderr."""
    found = find(corpus, source)
    for overlap in found:
        print(f"warning: {overlap}", file=sys.stderr)
    return [asdict(overlap) for overlap in found]


def recorded(folder: Path) -> list[Overlap]:
    """What the manifest of a corpus folder records; a generated corpus has nothing.

    Raises:
        InputError: there is no manifest, or it does not parse.
    """
    return [Overlap(**entry) for entry in read_json(folder / MANIFEST).get("overlaps", [])]


def _holder(
    texts: Sequence[str], others: Sequence[str], known: Mapping[str, Passages]
) -> str | None:
    """The first of `others` that holds one of `texts`."""
    return next((other for other in others if any(known[other].hold(text) for text in texts)), None)


def _items(corpus: Corpus, file: str) -> list[tuple[str, ...]]:
    """The items of a file, each in the spellings in which it may stand elsewhere."""
    part, name = file.removesuffix(".json").split("/")
    if part == "knowmem":
        return [(card["question"],) for card in corpus.knowmem[name]]
    if part == "verbmem":  # the benchmark strips both, also where a word goes on
        return [
            (f"{item['prompt']} {item['gt']}", item["prompt"] + item["gt"])
            for item in corpus.verbmem[name]
        ]
    texts: dict[str, list[str]] = getattr(corpus, part)
    return [(text,) for text in texts[name]]
