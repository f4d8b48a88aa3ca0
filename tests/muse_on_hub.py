"""A small corpus as a dataset on the hub: Parquet files and a card, in the form of MUSE's own."""

import io
from collections.abc import Callable, Mapping
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
    """A corpus without a text of our own layout, with blanks and odd characters, scal and sust."""
    made = mini.generate("news", SMALL)
    raw = {**made.raw, "pretrain": [], "forget": [*made.raw["forget"], "", "odd: \u2028 é 𝄞\r\n\t"]}
    scal, sust = (
        {f"forget_{k}": [f"{name} {k}, {part}" for part in range(k)] for k in (1, 2, 3, 4)}
        for name in ("scal", "sust")
    )
    privleak = {
        split: [f"{text} Seen?" for text in made.privleak[split]] for split in made.privleak
    }
    return Corpus(raw, made.knowmem, made.verbmem, privleak, scal, sust)


def tables(corpus: Corpus) -> Tables:
    """Subset -> split -> rows, as the benchmark publishes them."""
    parts = {name: getattr(corpus, name) for name in ("raw", "privleak", "scal", "sust")}
    found: Tables = {
        subset: {split: [{"text": text} for text in texts] for split, texts in splits.items()}
        for subset, splits in parts.items()
        if splits
    }
    found["raw"].pop("pretrain")
    found["knowmem"] = {  # with the columns in the order of the benchmark's card
        split: [{"answer": card["answer"], "question": card["question"]} for card in cards]
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
    for subset, splits in [*tables.items(), ("train", {"forget": [{"text": "not wanted"}]})]:
        columns = list(dict.fromkeys(column for rows in splits.values() for column in rows[0]))
        card["dataset_info"].append(
            {
                "config_name": subset,
                "features": [{"name": column, "dtype": "string"} for column in columns],
                "splits": [
                    {"name": split, "num_bytes": 1, "num_examples": len(rows)}
                    for split, rows in splits.items()
                ],
            }
        )
        card["configs"].append(
            {
                "config_name": subset,
                "data_files": [{"split": split, "path": f"{subset}/{split}-*"} for split in splits],
            }
        )
        for split, rows in splits.items():
            files[f"{subset}/{split}-00000-of-00001.parquet"] = parquet(rows)
    edit(card)
    files["README.md"] = f"---\n{yaml.safe_dump(card)}---\n# A card\n".encode()
    return files


def parquet(rows: list[Mapping[str, Any]]) -> bytes:
    """The rows as a Parquet file."""
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([dict(row) for row in rows]), stream)
    return stream.getvalue()
