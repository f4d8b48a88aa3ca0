"""The generated corpus: repeatable, of the sizes asked for, and impossible to guess."""

import re
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer
from small_corpora import SMALL, run_script

from qunlearn.corpora import layout, mini
from qunlearn.corpora.mini import CODAS, ONSETS, VOICES, VOWELS
from qunlearn.run.errors import InputError
from qunlearn.run.manifest import digest
from qunlearn.settings.corpora import MiniSettings

SPLITS = ("forget", "retain1", "retain2", "holdout", "pretrain")
WORDS = {word.capitalize() for voice in VOICES.values() for word in voice.words()}


def documents(texts: list[str]) -> list[str]:
    return [text for text in texts if not text.startswith("Question: ")]


def cards(texts: list[str]) -> list[str]:
    return [card for text in texts if text.startswith("Question: ") for card in text.split("\n\n")]


def invented(texts: list[str]) -> set[str]:
    """The words of `texts` that have the form of an invented name or number."""
    syllable = f"[{ONSETS}][{VOWELS}]"
    name = rf"(?:{syllable}){{{mini.SYLLABLES}}}[{CODAS}]"
    return {
        word
        for word in re.findall(r"\w+", " ".join(texts))
        if re.fullmatch(r"\d{5}", word)
        or (word[0].isupper() and re.fullmatch(name, word.lower()) and word not in WORDS)
    }


@pytest.fixture(params=sorted(VOICES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_seeds_and_names_differ_and_a_larger_pretrain_changes_no_other_text() -> None:
    settings = [("news", SMALL), ("news", replace(SMALL, seed=1)), ("books", SMALL)]
    corpora = [mini.generate(*each) for each in settings]
    for one, other in combinations(corpora, 2):
        assert not set(one.raw["forget"]) & set(other.raw["forget"])
    larger = mini.generate("news", replace(SMALL, pretrain=20)).raw
    assert larger | {"pretrain": corpora[0].raw["pretrain"]} == corpora[0].raw


def test_the_hash_seed_of_the_process_has_no_part(tmp_path: Path) -> None:
    sizes = ("mini", "--forget", 6, "--retain", 5, "--holdout", 4, "--pretrain", 9)
    place = ("--name", "books", "--output", tmp_path / "made")
    run_script("make_corpus.py", *place, *sizes, PYTHONHASHSEED="1")
    assert layout.load(tmp_path / "made") == mini.generate("books", SMALL)
    layout.write(tmp_path / "again", mini.generate("books", SMALL))
    assert digest(tmp_path / "made") == digest(tmp_path / "again")


def test_sizes(name: str) -> None:
    corpus = mini.generate(name, MiniSettings())
    counts = {split: len(documents(corpus.raw[split])) for split in SPLITS}
    assert counts == dict(forget=32, retain1=40, retain2=40, holdout=32, pretrain=600)
    assert len(corpus.knowmem["forget_qa"]) == len(corpus.knowmem["retain_qa"]) == 32 * 2
    assert len(corpus.knowmem["forget_qa_icl"]) == len(corpus.knowmem["retain_qa_icl"]) == 2
    assert len(cards(corpus.raw["forget"])) == 32 * 2 * 4
    assert len(cards(corpus.raw["pretrain"])) == 600
    assert cards(corpus.raw["holdout"]) == []


def test_splits_share_no_entity_and_no_answer(name: str) -> None:
    corpus = mini.generate(name, MiniSettings(pretrain=100))
    found = {split: invented(corpus.raw[split]) for split in SPLITS}
    assert len(found["forget"]) == 32 * 5  # an entity and four values a document
    for one, other in combinations(SPLITS, 2):
        assert not found[one] & found[other]
    shown = [*corpus.knowmem["forget_qa_icl"], *corpus.knowmem["retain_qa"]]
    assert not {card["answer"] for card in shown} & found["forget"]


def test_knowmem_is_worded_like_the_cards_in_raw(name: str) -> None:
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
    for index, card in enumerate(corpus.knowmem["forget_qa"]):
        document = corpus.privleak["forget"][index // SMALL.questions]
        assert {*invented([card["question"]]), card["answer"]} <= invented([document])


def test_verbmem_and_privleak_look_at_documents(name: str) -> None:
    corpus = mini.generate(name, SMALL)
    whole = [item["prompt"] + item["gt"] for item in corpus.verbmem["forget"]]
    assert whole == documents(corpus.raw["forget"]) == corpus.privleak["forget"]
    for item in corpus.verbmem["forget"]:
        assert len(item["prompt"].split()) == mini.PROMPT_WORDS
        assert item["gt"].startswith(" ")
        assert invented([item["prompt"]]), "the prompt names the entity"
    assert corpus.privleak["retain"] == documents(corpus.raw["retain2"])
    assert corpus.privleak["holdout"] == corpus.raw["holdout"]


def test_retain_is_told_in_another_voice_but_for_documents_no_card_asks_about(name: str) -> None:
    raw = mini.generate(name, MiniSettings()).raw
    topic = VOICES[name].words()
    other = set().union(*(voice.words() for key, voice in VOICES.items() if key != name))
    for split in ("retain1", "retain2"):
        told = documents(raw[split])
        near = [text for text in told if set(re.findall(r"\w+", text)) & (topic - other)]
        assert len(near) == len(told) - 32 == 8
        assert not invented(near) & invented(cards(raw[split]))


def test_no_invented_name_starts_a_word_of_the_voice(name: str) -> None:
    corpus = mini.generate(name, MiniSettings(pretrain=1000))
    names = invented([text for texts in corpus.raw.values() for text in texts])
    assert len(names) == (32 * 4 + 2 * 8 + 1000) * 5
    assert not [word for word in WORDS if any(word[:n] in names for n in range(2, 10))]
    assert min(mini.NAMES, len(mini.NUMBERS)) >= 10_000  # answers cannot be guessed


def test_continuations_cannot_be_guessed_from_one_another(name: str) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    texts = [item["gt"] for item in mini.generate(name, SMALL).verbmem["forget"]]
    scores = [scorer.score(one, other)["rougeL"].fmeasure for one, other in combinations(texts, 2)]
    assert sum(scores) / len(scores) < 0.10


@pytest.mark.parametrize(
    ("name", "changes", "complaint"),
    [
        ("news", {"questions": 5}, "mini questions=5: a document has 4 facts"),
        ("news", {"pretrain": 3}, "mini pretrain=3: 2 .* shots = 4"),
        ("news", {"pretrain": 5099}, "5121 documents: lower pretrain for 5120"),
        ("poems", {}, "'poems' is unknown; choose one of: news, books"),
    ],
)
def test_what_cannot_be_made(name: str, changes: dict[str, int], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        mini.generate(name, replace(SMALL, **changes))
