"""Small corpora, in memory and on disk, and a runner for the scripts that write corpora."""

import io
import random
import runpy
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import forked_python
import pyarrow
import pyarrow.parquet
import yaml
from conftest import ROOT

from qunlearn.corpora import layout, mini
from qunlearn.corpora.layout import Card, Continuation, Corpus
from qunlearn.settings.corpora import MiniSettings

SMALL = MiniSettings(forget=6, retain=5, holdout=4, pretrain=9)


def whole_corpus(folder: Path) -> None:
    """Write a corpus of three documents a list."""
    layout.write(folder, mini.generate("news", MiniSettings(0, 3, 3, 3, 6)))


def script(name: str) -> Callable[..., None]:
    """The function behind a script's command line."""
    main: Callable[..., None] = runpy.run_path(str(ROOT / "workflow/scripts" / name))["main"]
    return main


def run_script(
    script: str, *arguments: object, code: int = 0, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "workflow/scripts" / script), *map(str, arguments)]
    run = forked_python.run(command, folder, **environment)
    assert run.returncode == code, run.stderr
    return run


NEWS = "muse-bench/MUSE-News"
Tables = dict[str, dict[str, list[Any]]]


# --- As a dataset on the hub: Parquet files and a card, in the form of MUSE's own ---------------


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


# --- With the shape and the overlaps of MUSE-Books: few documents, most of them long -----------

LONGEST = 287_840  # characters of the longest document to be retained
TEXTS = 40  # of each list of privleak, and items of verbmem; the benchmark has 100


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
