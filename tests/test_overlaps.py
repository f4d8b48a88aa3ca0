"""Lists of a corpus that have something in common: what is named, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from books_like import books, prose
from small_corpora import run_script

from qunlearn.corpora import layout
from qunlearn.corpora.layout import Corpus
from qunlearn.corpora.muse import read_local
from qunlearn.corpora.overlaps import Overlap, find
from qunlearn.report.footnotes import recorded
from qunlearn.run.errors import InputError

IN_BOOKS = [
    Overlap("raw/retain1.json", 0, "raw/retain2.json", count=6, of=6),
    Overlap("knowmem/retain_qa.json", 50, "knowmem/retain_qa_icl.json", count=1, of=100),
]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return books()


def some_in(corpus: Corpus, count: int) -> Corpus:
    """A corpus of 40 texts to be forgotten, of which `count` are also retained."""
    forget = corpus.privleak["forget"]
    raw = corpus.raw | {"forget": forget, "retain2": [*corpus.raw["retain2"], *forget[:count]]}
    return replace(corpus, raw=raw, verbmem={"forget": corpus.verbmem["forget"][-1:]})


def test_overlaps_of_the_benchmark_are_named_by_the_job_and_below_the_table(
    corpus: Corpus, tmp_path: Path
) -> None:
    layout.write(tmp_path / "source", corpus)
    assert read_local(tmp_path / "source") == corpus
    assert find(corpus) == IN_BOOKS
    arguments = ("--source", str(tmp_path / "source"), "--output", str(tmp_path / "books"))
    run = run_script("import_corpus.py", *arguments)
    assert [line[:26] for line in run.stderr.splitlines()] == [
        "warning: 6 of 6 items of r",
        "warning: 1 of 100 items of",
    ]
    assert recorded(tmp_path, ["books"], "overlaps") == [
        "BOOKS: 6 of 6 items of raw/retain1.json also stand in raw/retain2.json (first: item "
        "0): Utility is not held out from the regulariser on these.",
        "BOOKS: 1 of 100 items of knowmem/retain_qa.json also stands in "
        "knowmem/retain_qa_icl.json (first: item 50): the prompt gives their answers away.",
    ]
    # An excerpt's regulariser is compared with all of retain2.
    run_script("import_corpus.py", *arguments, "--texts", "8", "--characters", "600")
    notes = recorded(tmp_path, ["books"], "overlaps")
    assert notes[0].startswith("BOOKS: 8 of 8 items of raw/retain1.json also stand in raw/")


def test_few_texts_in_common_are_named_and_many_refused(corpus: Corpus, tmp_path: Path) -> None:
    layout.write(tmp_path, some_in(corpus, 4))
    few = Overlap("raw/forget.json", 0, "raw/retain2.json", count=4, of=40)
    assert few in find(read_local(tmp_path))
    layout.write(tmp_path, some_in(corpus, 5))
    with pytest.raises(InputError, match=re.escape("raw/forget.json: item 0 is also in raw/ret")):
        read_local(tmp_path)


def test_one_unseen_text_that_was_seen_is_refused(corpus: Corpus, tmp_path: Path) -> None:
    part = corpus.privleak["holdout"][7]
    raw = corpus.raw | {"forget": [f"{prose('a', 300)} {part} {prose('b', 300)}"]}
    layout.write(tmp_path, replace(corpus, raw=raw))
    with pytest.raises(InputError, match=r"privleak/holdout\.json: item 7 is also in raw/forget"):
        read_local(tmp_path)


def test_blank_and_repeated_texts_are_as_the_benchmark_has_them(corpus: Corpus) -> None:
    raw = corpus.raw | {name: [*texts, "", texts[0]] for name, texts in corpus.raw.items() if texts}
    assert [overlap.count for overlap in find(replace(corpus, raw=raw))] == [7, 1]
