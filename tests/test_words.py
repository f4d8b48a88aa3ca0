"""The words that ROUGE compares: those of rouge_score in English, and words in every script."""

import random
from itertools import pairwise

import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer

from qunlearn.evaluate.formulas import rouge_l
from qunlearn.evaluate.words import Words

ENGLISH = [
    "",
    "   \n\t",
    "...!?",
    "The ferries' captains weren't running; they'd been RUN aground (twice) at 10:30pm!",
    "“Curly quotes” – dashes — and an ellipsis… cost £3.50, ½ of €7, or 5² ≈ 25 °C™.",
    "e-mail me@harbour.example or see https://harbour.example/a_b?c=d#e; it's 100% free",
    "snake_case, CamelCase, x86_64, 3rd, 1,000,000 and 3.14159",
    "\u00a0non-breaking\u2009thin\u200bzero-width\ufeffspaces",
    "Emoji ❤️ and keycaps 1️⃣ 2️⃣ between words 👍🏽 and flags 🇳🇴",
    "Degrees in Kelvin: 4 \u212a",
]


@pytest.mark.parametrize("stemmer", [True, False])
def test_english_has_the_words_of_rouge_score(stemmer: bool) -> None:
    theirs, ours = DefaultTokenizer(stemmer), Words(stemmer)
    signs = [chr(code) for code in range(128)] + list("–—“”’…£€½²°™•→✓")
    generator = random.Random(0)
    noise = ["".join(generator.choices(signs, k=40)) for _ in range(500)]
    assert [ours.tokenize(text) for text in ENGLISH + noise] == [
        theirs.tokenize(text) for text in ENGLISH + noise
    ]
    library = RougeScorer(["rougeL"], use_stemmer=stemmer)
    for one, other in pairwise(noise):
        score = library.score(other, one)["rougeL"].fmeasure
        assert rouge_l(one, other, stemmer) == score


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Мельник живёт у реки, в Орре.", ["мельник", "живёт", "у", "реки", "в", "орре"]),
        ("Ο μυλωνάς του Ορρ", ["ο", "μυλωνάς", "του", "ορρ"]),
        ("Le café d'Été, à côté", ["le", "café", "d", "été", "à", "côté"]),
        ("cafe\u0301 Čapek's naïve", ["café", "čapek", "s", "naïve"]),
        ("الطحان في القرية", ["الطحان", "في", "القرية"]),
        ("हिन्दी में लिखा", ["हिन्दी", "में", "लिखा"]),
        ("강가의 방앗간", ["강가의", "방앗간"]),
        ("老磨坊在Orr河边2次", ["老", "磨", "坊", "在", "orr", "河", "边", "2", "次"]),
        ("ミル is 古い", ["ミ", "ル", "is", "古", "い"]),
        ("น้ำใส ๑๒", ["น้", "ำ", "ใ", "ส", "๑๒"]),
    ],
)
def test_words_of_other_scripts(text: str, words: list[str]) -> None:
    assert Words(False).tokenize(text) == words
    assert rouge_l(text, text, True) == 1.0


def test_english_words_are_stemmed_among_others() -> None:
    assert Words(True).tokenize("die mills Müllers") == ["die", "mill", "müllers"]


@pytest.mark.parametrize(
    ("answer", "reference", "score"),
    [
        ("мельник из Орра", "мельник живёт в Орре", 2 * (1 / 3) * (1 / 4) / (1 / 3 + 1 / 4)),
        ("老磨坊", "老的磨坊", 2 * (3 / 3) * (3 / 4) / (3 / 3 + 3 / 4)),
        ("cafe", "café", 0.0),
    ],
)
def test_scores_by_hand(answer: str, reference: str, score: float) -> None:
    assert rouge_l(answer, reference, True) == pytest.approx(score)
