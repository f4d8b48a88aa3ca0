"""The metrics of texts and numbers, and how questions are put and answers read."""

import random
from itertools import pairwise

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sklearn.metrics import roc_auc_score

from qunlearn.evaluate.formulas import auc, min_k, privleak, rouge_l
from qunlearn.evaluate.prompts import (
    STOP_STRINGS,
    cut_answer,
    few_shot,
    is_answered,
    question_prompt,
    scored_reference,
)
from qunlearn.evaluate.words import Words
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import Prompt

ENGLISH = [
    *("", "   \n\t", "...!?"),
    "The ferries' captains weren't running; they'd been RUN aground (twice) at 10:30pm!",
    "“Curly quotes” – dashes — and an ellipsis… cost £3.50, ½ of €7, or 5² ≈ 25 °C™.",
    "e-mail me@harbour.example or see https://harbour.example/a_b?c=d#e; it's 100% free",
    "snake_case, CamelCase, x86_64, 3rd, 1,000,000 and 3.14159",
    "\u00a0non-breaking\u2009thin\u200bzero-width\ufeffspaces",
    "Emoji ❤️ and keycaps 1️⃣ 2️⃣ between words 👍🏽 and flags 🇳🇴",
    "Degrees in Kelvin: 4 \u212a",
]


@pytest.mark.parametrize(
    ("prediction", "reference", "stemmer", "expected"),
    [
        # LCS "the sat mat" = 3 of 4 predicted and 3 of 6 reference words: F1 = 2*3/(4+6)
        ("the dog sat mat", "the cat sat on the mat", False, 0.6),
        ("Mat, the!", "the mat", False, 0.5),  # order counts, punctuation and case do not
        ("running", "runs", True, 1.0),
        ("running", "runs", False, 0.0),
        ("", "something", True, 0.0),
        ("мельник из Орра", "мельник живёт в Орре", True, 2 / 7),
        ("老磨坊", "老的磨坊", True, 6 / 7),
        ("cafe", "café", True, 0.0),
    ],
)
def test_rouge_by_hand(prediction: str, reference: str, stemmer: bool, expected: float) -> None:
    assert rouge_l(prediction, reference, stemmer) == pytest.approx(expected)


@pytest.mark.parametrize("stemmer", [True, False])
def test_english_has_the_words_and_scores_of_rouge_score(stemmer: bool) -> None:
    theirs, ours = DefaultTokenizer(stemmer), Words(stemmer)
    generator = random.Random(0)
    signs = [chr(code) for code in range(128)] + list("–—“”’…£€½²°™•→✓")
    noise = ["".join(generator.choices(signs, k=40)) for _ in range(300)]
    words = ["sailing", "sailed", "sail", "of", "the", "harbours", "harbour", "1984"]
    noise += [" ".join(generator.choices(words, k=9)) for _ in range(50)]
    for text in ENGLISH + noise:
        assert ours.tokenize(text) == theirs.tokenize(text)
    library = RougeScorer(["rougeL"], use_stemmer=stemmer)
    for one, other in pairwise(noise):
        assert rouge_l(one, other, stemmer) == library.score(other, one)["rougeL"].fmeasure


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Мельник живёт у реки, в Орре.", ["мельник", "живёт", "у", "реки", "в", "орре"]),
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
    assert Words(True).tokenize("die mills Müllers") == ["die", "mill", "müllers"]


def test_min_k_by_hand() -> None:
    logprobs = [-1.0, -5.0, -2.0, -0.5, -4.0, -3.0, -0.1]
    assert min_k(logprobs, 0.4) == pytest.approx((-5.0 - 4.0) / 2)  # int(0.4 * 7) = 2
    assert min_k(logprobs, 1.0) == pytest.approx(sum(logprobs) / 7)
    assert min_k([-3.0, -1.0], 0.4) == -3.0  # int(0.8) = 0: one token all the same


def test_auc_by_hand_and_as_scikit_learns() -> None:
    assert auc([-1.0, -2.0], [-3.0]) == 0.0  # forget texts are remembered
    assert auc([-3.0], [-1.0, -2.0]) == 1.0  # and more than forgotten
    assert auc([-1.0, -3.0], [-2.0, -3.0]) == (0 + 1 + 0 + 0.5) / 4
    rng = random.Random(1)
    for _ in range(20):
        forget = [rng.randint(0, 6) / 2 for _ in range(rng.randint(1, 30))]
        holdout = [rng.randint(0, 6) / 2 for _ in range(rng.randint(1, 30))]
        is_holdout = [0] * len(forget) + [1] * len(holdout)
        assert auc(forget, holdout) == pytest.approx(roc_auc_score(is_holdout, forget + holdout))


def test_privleak_sign() -> None:
    aucs, retrained = np.array([0.0, 0.5, 0.75, 0.5]), np.array([0.5, 0.5, 0.5, 0.0])
    expected = [-100.0, 0.0, 50.0, np.nan]
    assert privleak(aucs, retrained).tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("text", "plain", "muse"),
    [
        (" Paris\n\nQuestion: next", "Paris", "Paris"),
        (" Paris\nQuestion: next", "Paris", "Paris"),
        (" Paris Question: next", "Paris", "Paris"),
        ("\nParis\n\nLondon", "Paris", "Paris"),
        ("\n\nParis\n\nLondon", "Paris", ""),
        ("  \n\nParis", "Paris", ""),
        (" two\nlines ", "two\nlines", "two\nlines"),
        ("\nQuestion: next", "", ""),
        ("", "", ""),
    ],
)
def test_cut_answer(text: str, plain: str, muse: str) -> None:
    assert (cut_answer(text, "plain"), cut_answer(text, "muse")) == (plain, muse)
    assert (scored_reference(text, "plain"), scored_reference(text, "muse")) == (plain, text)


@pytest.mark.parametrize("prompt", ["muse", "plain"])
def test_an_answer_does_not_change_once_it_is_ended(prompt: Prompt) -> None:
    rng = random.Random(2)
    pieces = [*STOP_STRINGS, "\n", "Question", ":", " ", "Oslo", "n"]
    for _ in range(300):
        text = "".join(rng.choices(pieces, k=8))
        for length in range(len(text)):
            if is_answered(text[:length], prompt):
                assert cut_answer(text[:length], prompt) == cut_answer(text, prompt)


def test_prompt_and_missing_examples() -> None:
    pairs = [{"question": f"q{i}?", "answer": f"a{i}"} for i in range(3)]
    examples = few_shot(pairs, 2, "knowmem/forget_qa_icl.json")
    plain = "Question: q0?\nAnswer: a0\n\nQuestion: q1?\nAnswer: a1\n\nQuestion: q?\nAnswer:"
    assert question_prompt(examples, "q?", "plain") == plain
    assert question_prompt(examples, "q?", "muse") == plain + " "
    with pytest.raises(InputError, match=r"knowmem/forget_qa_icl.json has 3 .* shots is 4"):
        few_shot(pairs, 4, "knowmem/forget_qa_icl.json")
