"""Excerpts of a corpus: what is cut, what is kept, and what is kept apart."""

from dataclasses import replace
from pathlib import Path

import pytest
from books_like import books
from small_corpora import script

from qunlearn.corpora import layout
from qunlearn.corpora.excerpt import excerpt, keep_end, keep_start, pieces
from qunlearn.corpora.layout import Corpus
from qunlearn.corpora.muse import make
from qunlearn.corpora.overlaps import Passages
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import digest
from qunlearn.settings.corpora import ExcerptSettings


def sentence(topic: str, count: int = 12) -> str:
    """A text of 12 or more distinct words about `topic`, about 130 characters long."""
    return " ".join(f"{topic}{number:02d} word" for number in range(count))


@pytest.fixture
def corpus() -> Corpus:
    """Six spans to forget, in MUSE's manner: stripped parts of documents in `raw/forget`."""
    spans = [sentence(f"f{index}", 30) for index in range(6)]
    kept, unseen = ([sentence(f"{name}{index}") for index in range(4)] for name in "kh")
    cards = [layout.Card(question=f"q{index}", answer=f"a{index}") for index in range(10)]
    retain1 = [
        "short text",
        f"{sentence('x')} {spans[5][:130]}",  # quotes a text to be forgotten
        sentence("r1"),
        sentence("r2"),
        f"{sentence('y')}\n{sentence('r1')}",  # quotes a kept retain text
        f"{sentence('z')} {sentence('h3')[:100]}",  # quotes a holdout text
        sentence("r3"),
        sentence("r3"),
    ]
    return Corpus(
        {"forget": spans, "retain1": retain1, "retain2": kept, "holdout": unseen, "pretrain": []},
        {
            "forget_qa": cards[:5],
            "forget_qa_icl": cards[5:8],
            "retain_qa": cards[4::-1],
            "retain_qa_icl": cards[8:],
        },
        {"forget": [{"prompt": text[:200].strip(), "gt": text[200:].strip()} for text in spans]},
        {"forget": [span[1:] for span in spans], "retain": kept, "holdout": unseen},
    )


def test_questions_are_cut_and_examples_kept(corpus: Corpus) -> None:
    assert excerpt(corpus, ExcerptSettings()) == corpus
    part = excerpt(corpus, ExcerptSettings(questions=2))
    assert {name: len(items) for name, items in part.knowmem.items()} == dict(
        forget_qa=2, forget_qa_icl=3, retain_qa=2, retain_qa_icl=2
    )
    assert part.knowmem["retain_qa"][0]["question"] == "q4"
    assert part.raw == corpus.raw


def test_raw_forget_is_what_the_evaluation_looks_at(corpus: Corpus) -> None:
    part = excerpt(corpus, ExcerptSettings(texts=2, characters=50))
    assert len(part.raw["forget"]) == 4
    for item, span, whole in zip(
        part.verbmem["forget"], part.raw["forget"], corpus.raw["forget"], strict=False
    ):
        assert span in whole and span.startswith(item["prompt"]) and span.endswith(item["gt"])
        assert len(item["prompt"]) <= 50 and whole.endswith(item["gt"])
    assert part.raw["forget"][2:] == part.privleak["forget"]
    assert part.raw["retain2"] == part.privleak["retain"]
    assert part.raw["holdout"] == part.privleak["holdout"]
    assert [len(texts) for texts in part.privleak.values()] == [2, 2, 2]
    assert all(len(text) <= 50 for texts in part.privleak.values() for text in texts)
    same = replace(corpus, privleak=corpus.privleak | {"forget": corpus.raw["forget"]})
    once = excerpt(same, ExcerptSettings(texts=1)).raw["forget"]
    assert once == [corpus.raw["forget"][0]]


def test_retain_and_pretrain_share_no_passage_with_what_is_kept_apart(corpus: Corpus) -> None:
    part = excerpt(corpus, ExcerptSettings(texts=3, characters=500))
    assert part.raw["retain1"] == ["short text", sentence("r1"), sentence("r2")]
    assert part.raw["pretrain"] == [sentence("r3")]
    corpus.raw["retain1"][:] = corpus.raw["forget"]
    with pytest.raises(InputError, match=r"raw/retain1\.json: every text shares a passage"):
        excerpt(corpus, ExcerptSettings(texts=1))


@pytest.mark.parametrize(
    ("characters", "start", "end"),
    [(0, "one two three", "one two three"), (7, "one two", "three"), (2, "one", "three")],
)
def test_cuts_fall_between_words(characters: int, start: str, end: str) -> None:
    assert keep_start("one two three", characters) == start
    assert keep_end("one two three", characters) == end


def test_pieces_are_consecutive_and_of_whole_words() -> None:
    assert list(pieces("one two three\n\nfour", 8)) == ["one two", "three", "four"]
    assert list(pieces("  \n ", 8)) == []


def test_passages_of_119_characters_are_always_found() -> None:
    text = sentence("p", 40)
    passages = Passages([text])
    for start in range(60, 100):
        assert passages.shared_with("@" + text[start : start + 121] + "@")
        assert not passages.shared_with("@" + text[start : start + 79] + "@")
    assert passages.shared_with(text.replace(" ", "\n  "))


def test_a_text_is_held_where_all_of_it_stands() -> None:
    text = sentence("p", 40)
    passages = Passages([f"Before.\n{text} After.", "short text"])
    assert passages.hold(text.replace(" ", "\n  ")) and passages.hold("short  text ")
    assert not passages.hold("short") and not passages.hold(text[:90])
    middle = len(text) // 2
    assert not passages.hold(f"{text[:middle]}{sentence('q')}{text[middle:]}")
    assert not passages.hold(f"{text} {sentence('q')}")


def test_the_script_writes_a_verified_folder(corpus: Corpus, tmp_path: Path) -> None:
    source, result = tmp_path / "source", tmp_path / "result"
    layout.write(source, corpus)
    settings = ExcerptSettings(texts=2, characters=50)
    script("make_corpus.py")(settings, result, source=source)
    assert layout.load(result, pretrain=True) == excerpt(corpus, settings)
    manifest = read_json(result / "manifest.json")
    assert manifest["step"] == "corpus" and manifest["source"] == "local"
    assert manifest["settings"] == {"texts": 2, "characters": 50, "questions": 0}
    assert manifest["inputs"] == {"source": digest(source)}


@pytest.mark.parametrize("count", [3, 40])
def test_long_documents_are_cut_into_pieces(count: int) -> None:
    """Of MUSE-Books' kind: a few long documents to be retained, all of them in retain2 as well."""
    corpus = books()
    part = excerpt(corpus, ExcerptSettings(texts=count, characters=600))
    assert len(part.raw["retain1"]) == count
    assert all(len(text) <= 600 for text in part.raw["retain1"])
    assert sum(map(len, part.raw["pretrain"])) > 250_000
    first = [text[:100] for text in corpus.raw["retain1"]]
    assert [text[:100] for text in part.raw["retain1"][:6]] == first[:count]
    secret = Passages([*corpus.raw["forget"], *corpus.raw["holdout"]])
    kept = Passages([*part.raw["retain1"], *part.raw["retain2"]])
    assert not any(map(secret.shared_with, part.raw["retain1"] + part.raw["pretrain"]))
    assert not any(map(kept.shared_with, part.raw["pretrain"]))
    # The document that quotes a text to be forgotten is left out in part only.
    assert Passages(part.raw["pretrain"]).shared_with(corpus.raw["retain1"][1][-5_000:])


def test_an_excerpt_that_leaves_no_text_for_a_base(tmp_path: Path) -> None:
    """Uncut documents of retain1 that all lie inside retain2."""
    layout.write(tmp_path, books())
    with pytest.raises(InputError, match=rf"^{tmp_path}: no text for raw/pretrain\.json.*excerpt"):
        make(ExcerptSettings(texts=3), tmp_path, "", "", scratch=True)
    part = make(ExcerptSettings(texts=3, characters=600), tmp_path, "", "", scratch=True)[0]
    assert part.raw["pretrain"]
