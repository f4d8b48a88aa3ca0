"""How large a corpus is, before it is downloaded or imported."""

from collections.abc import Iterable, Mapping
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from qunlearn.corpora import layout, mini, text
from qunlearn.settings.corpora import MiniSettings

PUBLISHED = Path(__file__).resolve().parents[3] / "resources/sizes.yaml"
BYTES_A_TOKEN, BYTES_A_SMALL_TOKEN = 3.93, 2.7
"""Of English news under Llama-2's tokenizer (`PUBLISHED`); of generated texts under their own,
whose vocabulary is about a thousand tokens: measured."""


class Texts(NamedTuple):
    """A list of texts: how many, and the mean of their tokens."""

    number: int
    mean: float


def given(config: Mapping[str, Any], corpus: str) -> layout.Corpus | None:
    """A corpus as the configuration gives it, before excerpting; None of a dataset of the hub.

    Raises:
        InputError: a local corpus is not in MUSE's layout, or `mini` or `text` cannot be made.
    """
    match config["corpus"]["source"]:
        case "mini":
            return mini.generate(corpus, MiniSettings(**config["corpus"]["mini"]))
        case "local":
            return layout.load(Path(config["muse_dir"], corpus))
        case "text":
            return text.read_corpus(*text.given(config))
    return None


def read_sizes(config: Mapping[str, Any], corpus: str) -> dict[str, Texts]:
    """`raw/forget` and so on -> its texts: a hub's dataset as published, others counted.

    A dataset that is not in resources/sizes.yaml is taken for MUSE-News. Tokens are bytes over a
    constant; of a question they are without its answer, but where it is an example.

    Raises:
        InputError: as `given`.
    """
    excerpt = config["corpus"]["excerpt"]
    made = (config["models"]["base"], config["models"]["target"]) == ("scratch", "train")
    rate = BYTES_A_SMALL_TOKEN if made else BYTES_A_TOKEN
    if (found := given(config, corpus)) is None:
        known = yaml.safe_load(PUBLISHED.read_text(encoding="utf-8"))
        sizes = dict(known.get(config["corpus"]["hub"].get(corpus), known["muse-bench/MUSE-News"]))
        rate = sizes.pop("bytes_per_token")
    else:
        lists = {file.removesuffix(".json"): found.items(file) for file in layout.FILES}
        sizes = {
            name: (len(items), sum(len(_text(name, item).encode()) for item in items))
            for name, items in lists.items()
        }
    texts = {}
    for name, (count, size) in sizes.items():
        most = excerpt["questions" if name.startswith("knowmem") else "texts"] or count
        mean = size / max(1, count)
        texts[name] = Texts(min(most, count), min(excerpt["characters"] or mean, mean) / rate)
    return texts


def training_rows(lists: Iterable[Texts | None], settings: Mapping[str, Any]) -> tuple[int, float]:
    """Rows that training/rows.py makes of lists of texts, and their tokens.

    Args:
        lists: None is an empty one.
        settings: has `chunking` and `max_tokens`.
    """
    rows, tokens, longest = 0, 0.0, settings["max_tokens"]
    for count, mean in filter(None, lists):
        stream = settings["chunking"] == "stream"
        rows += ceil(count * mean / longest) if stream else count * ceil(mean / longest)
        tokens += count * mean
    return rows, tokens


def _text(name: str, item: Any) -> str:
    """What a model reads of an item of a list."""
    if isinstance(item, str):
        return item
    answer = f" {item['answer']}" if name.endswith("_icl") else ""
    return f"{item.get('prompt') or item['question']}{answer}"
