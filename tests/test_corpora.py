import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from rouge_score.rouge_scorer import RougeScorer

from qunlearn.corpora import layout, local, mini
from qunlearn.corpora.excerpt import Passages, excerpt, keep_end, keep_start
from qunlearn.corpora.layout import Corpus
from qunlearn.corpora.mini_words import CODAS, ONSETS, VOICES, VOWELS
from qunlearn.errors import InputError
from qunlearn.provenance import digest
from qunlearn.settings import ExcerptSettings, MiniSettings

ROOT = Path(__file__).resolve().parents[1]
SMALL = MiniSettings(forget=6, retain=5, holdout=4, pretrain=9)
SPLITS = ("forget", "retain1", "retain2", "holdout", "pretrain")


def documents(texts: list[str]) -> list[str]:
    return [text for text in texts if not text.startswith("Question: ")]


def cards(texts: list[str]) -> list[str]:
    return [card for text in texts if text.startswith("Question: ") for card in text.split("\n\n")]


def invented(texts: list[str]) -> set[str]:
    """The words of `texts` that have the form of an invented name or number."""
    syllable = f"[{ONSETS}][{VOWELS}]"
    name = rf"(?:{syllable}){{{mini.SYLLABLES}}}[{CODAS}]"
    known = {word.capitalize() for voice in VOICES.values() for word in voice.words()}
    return {
        word
        for word in re.findall(r"\w+", " ".join(texts))
        if re.fullmatch(r"\d{5}", word)
        or (word[0].isupper() and re.fullmatch(name, word.lower()) and word not in known)
    }


@pytest.fixture(params=sorted(VOICES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class TestMini:
    def test_is_decided_by_name_and_settings(self, name: str) -> None:
        assert mini.generate(name, SMALL) == mini.generate(name, SMALL)

    def test_seeds_and_names_differ(self) -> None:
        corpora = [
            mini.generate("news", SMALL),
            mini.generate("news", replace(SMALL, seed=1)),
            mini.generate("books", SMALL),
        ]
        for one, other in combinations(corpora, 2):
            assert not set(one.raw["forget"]) & set(other.raw["forget"])

    def test_the_hash_seed_of_the_process_has_no_part(self, tmp_path: Path) -> None:
        for hash_seed in "12":
            run_script(
                "make_mini_corpus.py",
                *("--name", "books", "--forget", "6", "--retain", "5", "--holdout", "4"),
                *("--pretrain", "9", "--output", str(tmp_path / hash_seed)),
                PYTHONHASHSEED=hash_seed,
            )
        one, other = (layout.load(tmp_path / hash_seed) for hash_seed in "12")
        assert one == other == mini.generate("books", SMALL)
        assert digest(tmp_path / "1") == digest(tmp_path / "2")

    def test_a_larger_pretrain_leaves_the_other_texts_as_they_are(self) -> None:
        small = mini.generate("news", SMALL)
        large = mini.generate("news", replace(SMALL, pretrain=20))
        for split in ("forget", "retain1", "retain2", "holdout"):
            assert small.raw[split] == large.raw[split]

    def test_sizes(self, name: str) -> None:
        corpus = mini.generate(name, MiniSettings())
        counts = {split: len(documents(corpus.raw[split])) for split in SPLITS}
        assert counts == dict(forget=32, retain1=40, retain2=40, holdout=32, pretrain=600)
        assert len(corpus.knowmem["forget_qa"]) == len(corpus.knowmem["retain_qa"]) == 32 * 2
        assert len(corpus.knowmem["forget_qa_icl"]) == len(corpus.knowmem["retain_qa_icl"]) == 2
        assert len(cards(corpus.raw["forget"])) == 32 * 2 * 4
        assert len(cards(corpus.raw["pretrain"])) == 600
        assert cards(corpus.raw["holdout"]) == []

    def test_splits_share_no_entity_and_no_value(self, name: str) -> None:
        raw = mini.generate(name, MiniSettings(pretrain=100)).raw
        found = {split: invented(raw[split]) for split in SPLITS}
        assert len(found["forget"]) == 32 * 5  # an entity and four values a document
        for one, other in combinations(SPLITS, 2):
            assert not found[one] & found[other]

    def test_no_forget_answer_stands_in_another_file(self, name: str, tmp_path: Path) -> None:
        corpus = mini.generate(name, MiniSettings(pretrain=100))
        layout.write(tmp_path, corpus)
        others = "\n".join(
            path.read_text(encoding="utf-8")
            for path in sorted(tmp_path.rglob("*.json"))
            if not path.stem.startswith("forget") or path.stem == "forget_qa_icl"
        )
        for card in corpus.knowmem["forget_qa"]:
            assert card["answer"] not in others

    def test_knowmem_is_worded_like_the_cards_in_raw(self, name: str) -> None:
        corpus = mini.generate(name, SMALL)
        for split, asked in (("forget", "forget_qa"), ("retain2", "retain_qa")):
            expected = [
                f"Question: {card['question']}\nAnswer: {card['answer']}"
                for card in corpus.knowmem[asked]
            ]
            assert sorted(cards(corpus.raw[split])) == sorted(expected * SMALL.card_copies)
        shown = [*corpus.knowmem["forget_qa_icl"], *corpus.knowmem["retain_qa_icl"]]
        generic = cards(corpus.raw["pretrain"])
        assert len({card["question"] for card in shown}) == 2 * SMALL.shots
        assert all(mini.card_text(card) in generic for card in shown)

    def test_each_answer_stands_in_the_document_of_its_entity(self, name: str) -> None:
        corpus = mini.generate(name, SMALL)
        for index, card in enumerate(corpus.knowmem["forget_qa"]):
            document = corpus.privleak["forget"][index // SMALL.questions]
            (entity,) = invented([card["question"]])
            assert {entity, card["answer"]} <= invented([document])

    def test_prompt_and_gt_make_the_document(self, name: str) -> None:
        corpus = mini.generate(name, SMALL)
        whole = [item["prompt"] + item["gt"] for item in corpus.verbmem["forget"]]
        assert whole == documents(corpus.raw["forget"]) == corpus.privleak["forget"]
        for item in corpus.verbmem["forget"]:
            assert len(item["prompt"].split()) == mini.PROMPT_WORDS
            assert item["gt"].startswith(" ")
            assert invented([item["prompt"]]), "the prompt names the entity"

    def test_privleak_looks_at_documents(self, name: str) -> None:
        corpus = mini.generate(name, SMALL)
        assert corpus.privleak["retain"] == documents(corpus.raw["retain2"])
        assert corpus.privleak["holdout"] == corpus.raw["holdout"]

    def test_retain_is_told_in_another_voice_but_for_documents_no_card_asks_about(
        self, name: str
    ) -> None:
        raw = mini.generate(name, MiniSettings()).raw
        topic = VOICES[name].words()
        other = set().union(*(voice.words() for key, voice in VOICES.items() if key != name))
        for split in ("retain1", "retain2"):
            told = documents(raw[split])
            near = [text for text in told if set(re.findall(r"\w+", text)) & (topic - other)]
            assert len(near) == len(told) - 32 == 8
            assert not invented(near) & invented(cards(raw[split]))

    def test_answers_come_from_large_spaces(self) -> None:
        assert mini.NAMES == (16 * 5) ** 2 * 8
        assert min(mini.NAMES, len(mini.NUMBERS)) >= 10_000
        for letters in (ONSETS, VOWELS, CODAS):
            assert len(set(letters)) == len(letters)

    def test_no_invented_name_starts_a_word_of_the_voice(self, name: str) -> None:
        corpus = mini.generate(name, MiniSettings(pretrain=1000))
        names = invented([text for texts in corpus.raw.values() for text in texts])
        assert len(names) == (32 * 4 + 2 * 8 + 1000) * 5
        words = {word.capitalize() for voice in VOICES.values() for word in voice.words()}
        assert not [word for word in words if any(word[:n] in names for n in range(2, 10))]

    def test_every_fact_can_be_said_in_many_ways(self, name: str) -> None:
        for kind in VOICES[name].facts:
            assert len(set(kind.sentences)) == len(kind.sentences) >= 6
            assert all(sentence.count("{v}") == 1 for sentence in kind.sentences)
        assert len(set(VOICES[name].scene)) == len(VOICES[name].scene) >= 100

    def test_continuations_cannot_be_guessed_from_one_another(self, name: str) -> None:
        scorer = RougeScorer(["rougeL"], use_stemmer=True)
        texts = [item["gt"] for item in mini.generate(name, SMALL).verbmem["forget"]]
        scores = [
            scorer.score(one, other)["rougeL"].fmeasure for one, other in combinations(texts, 2)
        ]
        assert sum(scores) / len(scores) < 0.10

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"forget": 0}, "mini forget=0: must be at least 1"),
            ({"questions": 5}, "mini questions=5: a document has 4 facts"),
            ({"pretrain": 3}, "mini pretrain=3: .* 2 \\* shots = 4"),
            ({"pretrain": 5099}, "5121 documents: there are names for 5120"),
        ],
    )
    def test_a_bad_size_is_named(self, changes: dict[str, int], complaint: str) -> None:
        with pytest.raises(InputError, match=complaint):
            mini.generate("news", replace(SMALL, **changes))

    def test_an_unknown_name_is_answered_with_the_known_ones(self) -> None:
        with pytest.raises(InputError, match="'poems' is unknown; choose one of: news, books"):
            mini.generate("poems", SMALL)


class TestLayout:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        layout.write(tmp_path, mini.generate("news", SMALL))
        return tmp_path

    def test_what_is_written_is_read(self, folder: Path) -> None:
        assert layout.load(folder) == mini.generate("news", SMALL)
        assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.json")} == set(
            layout.FILES
        )

    def test_pretrain_may_be_absent_unless_asked_for(self, folder: Path) -> None:
        (folder / "raw/pretrain.json").unlink()
        corpus = layout.verify(folder)
        assert corpus.raw["pretrain"] == []
        with pytest.raises(InputError, match=re.escape("raw/pretrain.json: no such file")):
            layout.verify(folder, pretrain=True)
        layout.write(folder, corpus)
        assert not (folder / "raw/pretrain.json").exists()

    def test_a_blank_text_may_stand_in_raw_only(self, folder: Path) -> None:
        put(folder / "raw/forget.json", ["", "words"])
        assert layout.load(folder).raw["forget"] == ["", "words"]
        put(folder / "raw/forget.json", ["", " "])
        with pytest.raises(InputError, match=re.escape("raw/forget.json: every text is blank")):
            layout.load(folder)

    @pytest.mark.parametrize(
        ("file", "content", "complaint"),
        [
            ("raw/retain1.json", [], "the list is empty"),
            ("raw/retain1.json", {"text": "a"}, "holds a dict; write a JSON list"),
            ("raw/retain1.json", ["a", 3], "item 1 is a int; write a string"),
            ("privleak/holdout.json", ["a", " \n"], "item 1 is blank"),
            ("knowmem/forget_qa.json", ["a"], "item 0 is a str; write an object with question"),
            ("knowmem/forget_qa.json", [{"answer": "a"}], "item 0 has no field 'question'"),
            (
                "knowmem/retain_qa_icl.json",
                [{"question": "q", "answer": ["a"]}],
                "item 0, field 'answer' is a list; write a string",
            ),
            ("verbmem/forget.json", [{"prompt": "p", "gt": ""}], "item 0, field 'gt' is blank"),
        ],
    )
    def test_a_bad_item_is_named(
        self, folder: Path, file: str, content: Any, complaint: str
    ) -> None:
        put(folder / file, content)
        with pytest.raises(InputError, match=f"{file}: {complaint}") as caught:
            layout.verify(folder)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("file", [file for file in layout.FILES if file != layout.PRETRAIN])
    def test_a_missing_file_is_named(self, folder: Path, file: str) -> None:
        (folder / file).unlink()
        with pytest.raises(InputError, match=f"{file}: no such file"):
            layout.verify(folder)

    def test_unreadable_files_and_folders_are_named(self, folder: Path) -> None:
        (folder / "raw/holdout.json").write_bytes(b'["a", "\xff"]')
        with pytest.raises(InputError, match=re.escape("raw/holdout.json: not UTF-8 at byte 7")):
            layout.verify(folder)
        (folder / "raw/holdout.json").write_text('["a",\n "b"')
        with pytest.raises(
            InputError, match=re.escape("raw/holdout.json: not valid JSON at line 2")
        ):
            layout.verify(folder)
        with pytest.raises(InputError, match="absent: no such folder"):
            layout.verify(folder / "absent")


class TestLocal:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        layout.write(tmp_path, mini.generate("books", SMALL))
        return tmp_path

    def test_a_sound_folder_is_read(self, folder: Path) -> None:
        assert local.verify(folder, pretrain=True) == mini.generate("books", SMALL)

    @pytest.mark.parametrize("part", ["raw", "privleak"])
    def test_a_holdout_text_that_is_trained_on(self, folder: Path, part: str) -> None:
        known = layout.load(folder).raw["retain2"][1]
        change(folder / part / "holdout.json", lambda texts: [texts[0], known])
        with pytest.raises(InputError, match=f"{part}/holdout.json: item 1 is also in raw/retain2"):
            local.verify(folder)

    def test_an_example_that_is_also_asked(self, folder: Path) -> None:
        asked = layout.load(folder).knowmem["retain_qa"]
        change(folder / "knowmem/retain_qa_icl.json", lambda cards: [cards[0], asked[2]])
        with pytest.raises(
            InputError, match=re.escape("retain_qa_icl.json: item 1 is also a question")
        ):
            local.verify(folder)


def sentence(topic: str, count: int = 12) -> str:
    """A text of 12 or more distinct words about `topic`, about 130 characters long."""
    return " ".join(f"{topic}{number:02d} word" for number in range(count))


class TestExcerpt:
    @pytest.fixture
    def corpus(self) -> Corpus:
        """Six spans to forget, in MUSE's manner: stripped parts of documents in `raw/forget`."""
        spans = [sentence(f"f{index}", 30) for index in range(6)]
        verbmem = [
            layout.Continuation(prompt=text[:200].strip(), gt=text[200:].strip()) for text in spans
        ]
        qa = [layout.Card(question=f"q{index}", answer=f"a{index}") for index in range(10)]
        return Corpus(
            raw={
                "forget": spans,
                "retain1": [
                    "short text",
                    f"{sentence('x')} {spans[5][:130]}",  # quotes a text to be forgotten
                    sentence("r1"),
                    sentence("r2"),
                    f"{sentence('y')}\n{sentence('r1')}",  # quotes a kept retain text
                    f"{sentence('z')} {sentence('h3')}",  # quotes a holdout text
                    sentence("r3"),
                    sentence("r3"),
                ],
                "retain2": [sentence(f"k{index}") for index in range(4)],
                "holdout": [sentence(f"h{index}") for index in range(4)],
                "pretrain": [],
            },
            knowmem={
                "forget_qa": qa[:5],
                "forget_qa_icl": qa[5:8],
                "retain_qa": qa[4::-1],
                "retain_qa_icl": qa[8:],
            },
            verbmem={"forget": verbmem},
            privleak={
                "forget": [span[1:] for span in spans],
                "retain": [sentence(f"k{index}") for index in range(4)],
                "holdout": [sentence(f"h{index}") for index in range(4)],
            },
        )

    def test_zero_keeps_everything(self, corpus: Corpus) -> None:
        assert excerpt(corpus, ExcerptSettings()) == corpus

    def test_questions_are_cut_and_examples_kept(self, corpus: Corpus) -> None:
        part = excerpt(corpus, ExcerptSettings(questions=2))
        assert {name: len(items) for name, items in part.knowmem.items()} == dict(
            forget_qa=2, forget_qa_icl=3, retain_qa=2, retain_qa_icl=2
        )
        assert part.knowmem["retain_qa"][0]["question"] == "q4"
        assert part.raw == corpus.raw

    def test_raw_forget_is_what_the_evaluation_looks_at(self, corpus: Corpus) -> None:
        part = excerpt(corpus, ExcerptSettings(texts=2, characters=50))
        assert len(part.raw["forget"]) == 4
        for item, span, whole in zip(
            part.verbmem["forget"], part.raw["forget"], corpus.raw["forget"], strict=False
        ):
            assert len(item["prompt"]) <= 50
            assert span in whole, "prompt and gt joined as they stand in the text"
            assert span.startswith(item["prompt"]) and span.endswith(item["gt"])
        assert part.raw["forget"][2:] == part.privleak["forget"]
        assert part.raw["retain2"] == part.privleak["retain"]
        assert part.raw["holdout"] == part.privleak["holdout"]
        assert [len(texts) for texts in part.privleak.values()] == [2, 2, 2]
        assert all(len(text) <= 50 for texts in part.privleak.values() for text in texts)

    def test_equal_spans_stand_once(self, corpus: Corpus) -> None:
        corpus.privleak["forget"][0] = corpus.raw["forget"][0]
        part = excerpt(corpus, ExcerptSettings(texts=1))
        assert part.raw["forget"] == [corpus.raw["forget"][0]]

    def test_retain_and_pretrain_share_no_passage_with_what_is_kept_apart(
        self, corpus: Corpus
    ) -> None:
        part = excerpt(corpus, ExcerptSettings(texts=3, characters=500))
        assert part.raw["retain1"] == ["short text", sentence("r1"), sentence("r2")]
        assert part.raw["pretrain"] == [sentence("r3")]

    def test_no_retain_text_left(self, corpus: Corpus) -> None:
        corpus.raw["retain1"][:] = corpus.raw["forget"]
        with pytest.raises(
            InputError, match=re.escape("raw/retain1.json: every text shares a passage")
        ):
            excerpt(corpus, ExcerptSettings(texts=1))

    @pytest.mark.parametrize(
        ("settings", "complaint"),
        [
            (ExcerptSettings(texts=-1), "excerpt texts=-1"),
            (ExcerptSettings(characters=9), "excerpt characters=9 with texts=0"),
        ],
    )
    def test_a_bad_setting_is_named(
        self, corpus: Corpus, settings: ExcerptSettings, complaint: str
    ) -> None:
        with pytest.raises(InputError, match=complaint):
            excerpt(corpus, settings)

    @pytest.mark.parametrize(
        ("characters", "start", "end"),
        [
            (0, "one two three", "one two three"),
            (13, "one two three", "one two three"),
            (7, "one two", "three"),
            (6, "one", "three"),
            (2, "one", "three"),
        ],
    )
    def test_cuts_fall_between_words(self, characters: int, start: str, end: str) -> None:
        assert keep_start("one two three", characters) == start
        assert keep_end("one two three", characters) == end

    def test_passages_of_119_characters_are_always_found(self) -> None:
        text = sentence("p", 40)
        passages = Passages([text])
        for start in range(60, 100):
            assert passages.shared_with("@" + text[start : start + 121] + "@")
            assert not passages.shared_with("@" + text[start : start + 79] + "@")
        assert passages.shared_with(text.replace(" ", "\n  "))

    def test_the_script_writes_a_verified_folder(self, corpus: Corpus, tmp_path: Path) -> None:
        layout.write(tmp_path / "source", corpus)
        result = tmp_path / "result"
        arguments = ("--texts", "2", "--characters", "50", "--output", str(result))
        run_script("import_corpus.py", "--source", str(tmp_path / "source"), *arguments)
        settings = ExcerptSettings(texts=2, characters=50)
        assert layout.verify(result, pretrain=True) == excerpt(corpus, settings)
        manifest = json.loads((result / "manifest.json").read_text())
        assert manifest["step"] == "corpus" and manifest["source"] == "local"
        assert manifest["settings"] == {"texts": 2, "characters": 50, "questions": 0}
        assert manifest["inputs"] == {"source": digest(tmp_path / "source")}

    def test_the_script_leaves_nothing_behind_when_an_input_is_bad(self, tmp_path: Path) -> None:
        run = run_script(
            "import_corpus.py",
            *("--source", str(tmp_path / "absent"), "--output", str(tmp_path / "out")),
            code=2,
        )
        assert run.stderr.count("\n") == 1
        assert "absent: no such folder" in run.stderr
        assert list(tmp_path.iterdir()) == []


def put(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def change(path: Path, edit: Callable[[list[Any]], list[Any]]) -> None:
    put(path, edit(json.loads(path.read_text(encoding="utf-8"))))


def run_script(
    script: str, *arguments: str, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [sys.executable, str(ROOT / "workflow/scripts" / script), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stderr
    return run
