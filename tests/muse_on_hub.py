"""A small corpus as a dataset on the hub: Parquet files and a card, in the form of MUSE's own."""

import io
from collections.abc import Callable
from typing import Any

import pyarrow
import pyarrow.parquet
import yaml
from small_corpora import SMALL

from qunlearn.corpora import mini
from qunlearn.corpora.layout import Corpus

NEWS = "muse-bench/MUSE-News"
Tables = dict[str, dict[str, list[Any]]]


def corpus() -> Corpus:
    """A corpus without a text of our own layout, with blanks and odd characters."""
    made = mini.generate("news", SMALL)
    raw = {**made.raw, "pretrain": [], "forget": [*made.raw["forget"], "", "odd: \u2028 é 𝄞\r\n\t"]}
    privleak = {name: [f"{text} Seen?" for text in texts] for name, texts in made.privleak.items()}
    return Corpus(raw, made.knowmem, made.verbmem, privleak)


def tables(corpus: Corpus) -> Tables:
    """Subset -> split -> rows, as the benchmark publishes them; further ones are not read."""
    raw = {name: texts for name, texts in corpus.raw.items() if name != "pretrain"}
    lists = {"raw": raw, "privleak": corpus.privleak, "scal": {"forget_1": ["not wanted"]}}
    found: Tables = {
        subset: {split: [{"text": text} for text in texts] for split, texts in splits.items()}
        for subset, splits in lists.items()
    }
    found["knowmem"] = {  # with the columns in the order of the benchmark's card, and one more
        split: [
            {"id": "7", "answer": card["answer"], "question": card["question"]} for card in cards
        ]
        for split, cards in corpus.knowmem.items()
    }
    found["verbmem"] = {"forget": [dict(item) for item in corpus.verbmem["forget"]]}
    return found


def repository(
    tables: Tables, edit: Callable[[dict[str, Any]], None] = lambda card: None
) -> dict[str, bytes]:
    """Path -> content of the repository; `edit` changes what the card says."""
    card: dict[str, Any] = {"license": "cc-by-4.0", "dataset_info": [], "configs": []}
    files = {"privleak/forget.json": b"[stray, and no JSON]", ".gitattributes": b"*.parquet lfs"}
    for subset, splits in tables.items():
        counts = [
            {"name": split, "num_bytes": 1, "num_examples": len(rows)}
            for split, rows in splits.items()
        ]
        paths = [{"split": split, "path": f"{subset}/{split}-*"} for split in splits]
        card["dataset_info"].append({"config_name": subset, "splits": counts})
        card["configs"].append({"config_name": subset, "data_files": paths})
        for split, rows in splits.items():
            stream = io.BytesIO()
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), stream)
            files[f"{subset}/{split}-00000-of-00001.parquet"] = stream.getvalue()
    edit(card)
    files["README.md"] = f"---\n{yaml.safe_dump(card)}---\n# A card\n".encode()
    return files
