import random

import pytest
from rouge_score.rouge_scorer import RougeScorer
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
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import Prompt


@pytest.mark.parametrize(
    ("prediction", "reference", "stemmer", "expected"),
    [
        # LCS "the sat mat" = 3 of 4 predicted and 3 of 6 reference words: F1 = 2*3/(4+6)
        ("the dog sat mat", "the cat sat on the mat", False, 0.6),
        ("Mat, the!", "the mat", False, 0.5),  # order counts, punctuation and case do not
        ("running", "runs", True, 1.0),
        ("running", "runs", False, 0.0),
        ("", "something", True, 0.0),
        ("same words", "same words", True, 1.0),
    ],
)
def test_rouge_by_hand(prediction: str, reference: str, stemmer: bool, expected: float) -> None:
    assert rouge_l(prediction, reference, stemmer) == pytest.approx(expected)


@pytest.mark.parametrize("stemmer", [True, False])
def test_rouge_equals_the_library(stemmer: bool) -> None:
    rng = random.Random(0)
    words = ["sailing", "sailed", "sail", "of", "the", "harbours", "harbour", "1984", "Öl"]
    library = RougeScorer(["rougeL"], use_stemmer=stemmer)
    for _ in range(50):
        prediction, reference = (" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in "ab")
        expected = library.score(target=reference, prediction=prediction)["rougeL"].fmeasure
        assert rouge_l(prediction, reference, stemmer) == expected


def test_min_k_by_hand() -> None:
    logprobs = [-1.0, -5.0, -2.0, -0.5, -4.0, -3.0, -0.1]
    assert min_k(logprobs, 0.4) == pytest.approx((-5.0 - 4.0) / 2)  # int(0.4 * 7) = 2
    assert min_k(logprobs, 1.0) == pytest.approx(sum(logprobs) / 7)
    assert min_k([-3.0, -1.0], 0.4) == -3.0  # int(0.8) = 0: one token all the same


def test_auc_by_hand() -> None:
    assert auc([-1.0, -2.0], [-3.0]) == 0.0  # forget texts are remembered
    assert auc([-3.0], [-1.0, -2.0]) == 1.0  # and more than forgotten
    assert auc([-2.0], [-2.0]) == 0.5
    assert auc([-1.0, -3.0], [-2.0, -3.0]) == (0 + 1 + 0 + 0.5) / 4


def test_auc_equals_scikit_learn_with_ties() -> None:
    rng = random.Random(1)
    for _ in range(20):
        forget = [rng.randint(0, 6) / 2 for _ in range(rng.randint(1, 30))]
        holdout = [rng.randint(0, 6) / 2 for _ in range(rng.randint(1, 30))]
        is_holdout = [0] * len(forget) + [1] * len(holdout)
        assert auc(forget, holdout) == pytest.approx(roc_auc_score(is_holdout, forget + holdout))


def test_privleak_sign() -> None:
    assert privleak(0.0, 0.5) == -100.0
    assert privleak(0.5, 0.5) == 0.0
    assert privleak(0.75, 0.5) == 50.0
    with pytest.raises(InputError, match="retrain model's AUC"):
        privleak(0.5, 0.0)


@pytest.mark.parametrize(
    ("text", "plain", "muse"),
    [
        (" Paris\n\nQuestion: next", "Paris", "Paris"),
        (" Paris\nQuestion: next", "Paris", "Paris"),
        (" Paris Question: next", "Paris", "Paris"),
        ("\nParis\n\nLondon", "Paris", "Paris"),
        ("\n\nParis\n\nLondon", "Paris", ""),
        ("\n\n", "", ""),
        ("  \n\nParis", "Paris", ""),
        (" two\nlines ", "two\nlines", "two\nlines"),
        ("\nQuestion: next", "", ""),
        ("", "", ""),
    ],
)
def test_cut_answer(text: str, plain: str, muse: str) -> None:
    assert cut_answer(text, "plain") == plain
    assert cut_answer(text, "muse") == muse


def test_references_are_cut_in_plain_alone() -> None:
    answer = "\nA potter.\n\nSo says the register."
    assert scored_reference(answer, "plain") == "A potter."
    assert scored_reference(answer, "muse") == answer


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
