"""How large the corpora are, before any of them is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from qunlearn.corpora import mini
from qunlearn.corpora.layout import FILES, Corpus
from qunlearn.files import read_json
from qunlearn.settings.corpora import MiniSettings

RESOURCE = Path(__file__).resolve().parents[3] / "resources/corpora.yaml"
BYTES_PER_TOKEN = 3.93
"""Of English news under Llama-2's tokenizer, see resources/corpora.yaml."""
BYTES_PER_SMALL_TOKEN = 2.7
"""Of a vocabulary of about a thousand tokens: what mini's own comes to on its texts."""


@dataclass(frozen=True)
class Texts:
    """A list of texts.

    Attributes:
        count: texts.
        tokens: of all of them.
        longest: tokens of the longest; of all of them where it is not known.
    """

    count: int
    tokens: float
    longest: float

    @property
    def mean(self) -> float:
        """Tokens a text."""
        return self.tokens / self.count if self.count else 0.0

    def rows(self, max_tokens: int, chunking: str) -> int:
        """How many training rows they make (`training.rows.make_rows`)."""
        if chunking == "stream":
            return max(1, -int(-self.tokens // max_tokens))
        return self.count * max(1, -int(-self.mean // max_tokens))

    def longest_row(self, max_tokens: int, chunking: str) -> int:
        """Tokens of the longest training row."""
        total = self.tokens if chunking == "stream" else self.longest
        return int(min(max_tokens, total))


Sizes = Mapping[str, Texts]
"""File of MUSE's layout without its ending, e.g. `raw/forget` -> its texts."""


def sizes(config: Mapping[str, Any], corpus: str) -> Sizes:
    """Of a corpus: counted where it is on this machine or can be generated, else published.

    A hub's dataset that is not known is taken for MUSE-News. Tokens are bytes over a constant.
    """
    small = config["models"]["base"] == "scratch" and config["models"]["target"] == "train"
    rate = BYTES_PER_SMALL_TOKEN if small else BYTES_PER_TOKEN
    made = Path("results", config["experiment"], "data", corpus)
    source = config["corpus"]["source"]
    if made.is_dir():
        return _counted(_read(made), rate)
    if source == "mini":
        settings = MiniSettings(**config["corpus"]["mini"])
        return _counted(_lists(mini.generate(corpus, settings)), rate)
    if source == "local":
        lists = _read(Path(config["muse_dir"], corpus))
        return {name: _excerpt(texts, config) for name, texts in _counted(lists, rate).items()}
    known = yaml.safe_load(RESOURCE.read_text(encoding="utf-8"))
    dataset = known.get(config["corpus"]["hub"].get(corpus), known["muse-bench/MUSE-News"])
    found = {}
    for name, value in dataset.items():
        if f"{name}.json" in FILES:
            count, tokens = value[0], value[1] / dataset["bytes_per_token"]
            # Of raw texts the longest may be as long as a book; the others are cut to one length.
            longest = tokens if name.startswith("raw/") else tokens / count
            found[name] = _excerpt(Texts(count, tokens, longest), config)
    return found


def _counted(lists: Mapping[str, list[Any]], rate: float) -> Sizes:
    found = {}
    for name, items in lists.items():
        lengths = [len(_text(name, item).encode()) / rate for item in items]
        found[name] = Texts(len(items), sum(lengths), max(lengths, default=0.0))
    return found


def _text(name: str, item: Any) -> str:
    """What a model reads of an item."""
    if isinstance(item, str):
        return item
    if "prompt" in item:
        return str(item["prompt"])
    question, answer = str(item["question"]), str(item["answer"])
    return f"{question} {answer}" if name.endswith("_icl") else question


def _read(folder: Path) -> dict[str, list[Any]]:
    return {
        name.removesuffix(".json"): read_json(folder / name)
        for name in FILES
        if (folder / name).exists()
    }


def _lists(corpus: Corpus) -> dict[str, list[Any]]:
    return {
        name.removesuffix(".json"): getattr(corpus, name.partition("/")[0])[
            name.partition("/")[2].removesuffix(".json")
        ]
        for name in FILES
    }


def _excerpt(texts: Texts, config: Mapping[str, Any]) -> Texts:
    """What `corpus.excerpt` leaves of a list, as far as its mean length tells."""
    excerpt = config["corpus"]["excerpt"]
    count = min(texts.count, excerpt["texts"] or texts.count)
    longest = texts.longest
    mean = texts.mean
    if excerpt["characters"]:
        longest = min(longest, excerpt["characters"] / BYTES_PER_TOKEN)
        mean = min(mean, longest)
    return Texts(count, mean * count, longest)
