"""The folder of a corpus, lists that share texts, and excerpts."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import small_workflow
from small_corpora import NEWS, SMALL, books, corpus, script, whole_corpus
from small_fuzz import as_bytes, complaint, spoil, write_tree

from qunlearn.corpora import layout, mini
from qunlearn.corpora.excerpt import excerpt, keep_end, keep_start
from qunlearn.corpora.layout import Corpus
from qunlearn.corpora.muse import make, read_local
from qunlearn.corpora.overlaps import Overlap, Passages, find
from qunlearn.experiment.config import resolve
from qunlearn.experiment.inputs import check_given
from qunlearn.models import sources
from qunlearn.report.footnotes import recorded
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings


def full(folder: Path, **changes: Any) -> dict[str, Any]:
    """The tiny experiment on a corpus of the user's own."""
    local = {"corpus": {"source": "local"}, "muse_dir": str(folder)}
    return resolve(small_workflow.tiny(small_workflow.over(local, changes)))


def test_odd_corpora_that_are_whole(tmp_path: Path) -> None:
    """Long, strange and superfluous is not wrong; the benchmark's own has a blank text."""
    folder = tmp_path / "news"
    whole_corpus(folder)
    write_tree(folder, {"notes.txt": b"\xff", "raw/extra.json": b"no JSON", "scal/x": b""})
    texts = ["a" * 5_000_000, "", "\u0000 \u2028 \U0001f600 \ufeff", "line\r\nline"]
    (folder / "raw/forget.json").unlink()
    (tmp_path / "elsewhere.json").write_bytes(as_bytes(texts))
    (folder / "raw/forget.json").symlink_to(tmp_path / "elsewhere.json")
    check_given(full(tmp_path))
    assert make(ExcerptSettings(), folder, "", "", False)[0].raw["forget"] == texts


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = mini.generate("news", SMALL)
    layout.write(tmp_path, made)
    assert layout.load(tmp_path, pretrain=True) == made
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")}
    assert written == set(layout.FILES)
    (tmp_path / layout.PRETRAIN).unlink()
    assert layout.load(tmp_path).raw["pretrain"] == []
    with pytest.raises(InputError, match=r"raw/pretrain\.json: no such file"):
        layout.load(tmp_path, pretrain=True)


EXCERPT = {"corpus": {"excerpt": {"texts": 3}}}
PIN = {"revisions": {NEWS: "0" * 40}}
GIVEN = {"models": {"target": f"hub:{NEWS}", "retrain": f"hub:{NEWS}"}} | PIN


@pytest.mark.parametrize("ways_out", [EXCERPT, GIVEN])
def test_a_base_from_scratch_needs_text(ways_out: dict[str, Any], tmp_path: Path) -> None:
    """Known before any training, of a folder and of a dataset of the hub, in MUSE's layout."""
    layout.write(tmp_path / "news", corpus())
    hub = {"corpus": {"source": "hub", "hub": {"news": NEWS}}} | PIN
    for changes, where in (({}, f": {tmp_path}/news:"), (hub, "dataset of news")):
        config = full(tmp_path, **changes)
        assert sources.from_scratch(config, "news")
        complaint(partial(check_given, config), where, "raw/pretrain.json")
        check_given(full(tmp_path, **small_workflow.over(changes, ways_out)))


# --- Lists that have something in common ------------------------------------------------------


def change(path: Path, edit: Callable[[list[Any]], list[Any]]) -> None:
    spoil(path, edit(json.loads(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("retained", ["retain1", "retain2", "pretrain"])
@pytest.mark.parametrize("forgotten", ["raw/forget", "privleak/forget", "verbmem/forget"])
def test_a_forget_text_that_is_retained(retained: str, forgotten: str, tmp_path: Path) -> None:
    folder, own = tmp_path / "news", "A text that stands nowhere else."
    layout.write(folder, mini.generate("news", SMALL))
    item = layout.load(folder).items(f"{forgotten}.json")[3]
    change(folder / "raw/forget.json", lambda _: [own])
    if forgotten == "verbmem/forget":  # of which privleak's texts are the same
        change(folder / "privleak/forget.json", lambda _: ["Something else."])
        item = item["prompt"] + item["gt"]
    text, number = (own, 0) if forgotten == "raw/forget" else (f"Before it. {item} After it.", 3)
    change(folder / f"raw/{retained}.json", lambda texts: [*texts, text])
    place = f"{forgotten}.json: item {number} is also in raw/{retained}.json (1 of "
    complaint(lambda: check_given(full(tmp_path)), "muse_dir", place)


@pytest.mark.parametrize(
    ("file", "added", "place"),
    [
        ("raw/holdout", ("raw/retain2", 1), "raw/holdout.json: item 4 is also in raw/retain2"),
        ("privleak/holdout", ("raw/forget", 0), "privleak/holdout.json: item 4 is also in privl"),
        ("knowmem/retain_qa_icl", ("knowmem/retain_qa", 2), "retain_qa.json: item 2 is also in"),
    ],
)
def test_lists_that_spoil(file: str, added: tuple[str, int], place: str, tmp_path: Path) -> None:
    """Holdout texts that were seen; examples that are asked as well."""
    folder = tmp_path / "news"
    layout.write(folder, mini.generate("news", SMALL))
    more = layout.load(folder).items(f"{added[0]}.json")[added[1] :]
    change(folder / f"{file}.json", lambda items: [*items, *more])
    complaint(lambda: check_given(full(tmp_path)), "muse_dir", place)


def test_overlaps_of_the_benchmark_are_named_by_the_job_and_below_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where texts are blank or repeated; an excerpt's retain1 is compared with all retain2."""
    whole = books()
    more = {name: [*texts, "", texts[0]] for name, texts in whole.raw.items() if texts}
    assert [each.count for each in find(replace(whole, raw=whole.raw | more))] == [7, 1]
    layout.write(tmp_path / "source", whole)
    assert read_local(tmp_path / "source") == whole
    import_corpus = partial(script("make_corpus.py"), source=tmp_path / "source")
    import_corpus(ExcerptSettings(), tmp_path / "books")
    notes = [
        "6 of 6 items of raw/retain1.json also stand in raw/retain2.json (first: item 0): Utility "
        "is not held out from the regulariser on these",
        "1 of 100 items of knowmem/retain_qa.json also stands in knowmem/retain_qa_icl.json "
        "(first: item 50): the prompt gives their answers away",
    ]
    assert capsys.readouterr().err.splitlines() == [f"warning: {note}" for note in notes]
    assert recorded(tmp_path, ["books"], "overlaps") == [f"BOOKS: {note}." for note in notes]
    import_corpus(ExcerptSettings(texts=8, characters=600), tmp_path / "books")
    first = recorded(tmp_path, ["books"], "overlaps")[0]
    assert first.startswith("BOOKS: 8 of 8 items of raw/retain1.json also stand in raw/")


def test_few_texts_in_common_are_named_and_many_refused(tmp_path: Path) -> None:
    whole = books()
    forget, retain2 = whole.privleak["forget"], whole.raw["retain2"]
    for count in (4, 5):  # of 40
        raw = whole.raw | {"forget": forget, "retain2": [*retain2, *forget[:count]]}
        verbmem = {"forget": whole.verbmem["forget"][-1:]}
        layout.write(tmp_path, replace(whole, raw=raw, verbmem=verbmem))
        if count == 4:
            few = Overlap("raw/forget.json", 0, "raw/retain2.json", count=4, of=40)
            assert few in find(read_local(tmp_path))
    with pytest.raises(InputError, match=r"raw/forget\.json: item 0 is also in raw/ret"):
        read_local(tmp_path)


# --- Excerpts: what is cut, what is kept, and what is kept apart -------------------------------


def sentence(topic: str, count: int = 12) -> str:
    """A text of 12 or more distinct words about `topic`, about 130 characters long."""
    return " ".join(f"{topic}{number:02d} word" for number in range(count))


@pytest.fixture
def six_spans() -> Corpus:
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


def test_questions_are_cut_and_examples_kept(six_spans: Corpus) -> None:
    assert excerpt(six_spans, ExcerptSettings()) == six_spans
    part = excerpt(six_spans, ExcerptSettings(questions=2))
    assert {name: len(items) for name, items in part.knowmem.items()} == dict(
        forget_qa=2, forget_qa_icl=3, retain_qa=2, retain_qa_icl=2
    )
    assert part.knowmem["retain_qa"][0]["question"] == "q4"
    assert part.raw == six_spans.raw


def test_raw_forget_is_what_the_evaluation_looks_at(six_spans: Corpus) -> None:
    part = excerpt(six_spans, ExcerptSettings(texts=2, characters=50))
    assert len(part.raw["forget"]) == 4
    for item, span, whole in zip(
        part.verbmem["forget"], part.raw["forget"], six_spans.raw["forget"], strict=False
    ):
        assert span in whole and span.startswith(item["prompt"]) and span.endswith(item["gt"])
        assert len(item["prompt"]) <= 50 and whole.endswith(item["gt"])
    assert part.raw["forget"][2:] == part.privleak["forget"]
    assert part.raw["retain2"] == part.privleak["retain"]
    assert part.raw["holdout"] == part.privleak["holdout"]
    assert [len(texts) for texts in part.privleak.values()] == [2, 2, 2]
    assert all(len(text) <= 50 for texts in part.privleak.values() for text in texts)
    same = replace(six_spans, privleak=six_spans.privleak | {"forget": six_spans.raw["forget"]})
    once = excerpt(same, ExcerptSettings(texts=1)).raw["forget"]
    assert once == [six_spans.raw["forget"][0]]


def test_retain_and_pretrain_share_no_passage_with_what_is_kept_apart(six_spans: Corpus) -> None:
    part = excerpt(six_spans, ExcerptSettings(texts=3, characters=500))
    assert part.raw["retain1"] == ["short text", sentence("r1"), sentence("r2")]
    assert part.raw["pretrain"] == [sentence("r3")]
    six_spans.raw["retain1"][:] = six_spans.raw["forget"]
    with pytest.raises(InputError, match=r"raw/retain1\.json: every text shares a passage"):
        excerpt(six_spans, ExcerptSettings(texts=1))


@pytest.mark.parametrize(
    ("characters", "start", "end"),
    [(0, "one two three", "one two three"), (7, "one two", "three"), (2, "one", "three")],
)
def test_cuts_fall_between_words(characters: int, start: str, end: str) -> None:
    assert keep_start("one two three", characters) == start
    assert keep_end("one two three", characters) == end


def test_passages_of_119_characters_are_always_found_and_whole_texts_held() -> None:
    text = sentence("p", 40)
    passages = Passages([text])
    for start in range(60, 100):
        assert passages.shared_with("@" + text[start : start + 121] + "@")
        assert not passages.shared_with("@" + text[start : start + 79] + "@")
    assert passages.shared_with(text.replace(" ", "\n  "))
    passages = Passages([f"Before.\n{text} After.", "short text"])  # a text is held where it stands
    assert passages.hold(text.replace(" ", "\n  ")) and passages.hold("short  text ")
    assert not passages.hold("short") and not passages.hold(text[:90])
    middle = len(text) // 2
    assert not passages.hold(f"{text[:middle]}{sentence('q')}{text[middle:]}")
    assert not passages.hold(f"{text} {sentence('q')}")


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
