"""Metrics: of texts and numbers, how questions are put, and as statistics of records."""

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import DefaultTokenizer
from sklearn.metrics import roc_auc_score
from small_records import evaluate, texts

from qunlearn.evaluate import prompts, records, scoring
from qunlearn.evaluate.definitions import DEFINITIONS, likelihood, membership, privleak
from qunlearn.evaluate.formulas import auc, min_k, rouge_l
from qunlearn.evaluate.words import Words
from qunlearn.experiment.names import METRICS
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_jsonl
from qunlearn.settings.evaluation import Prompt
from qunlearn.statistics.items import item_draws, mean, value


def test_a_draw_weighs_the_items() -> None:
    assert mean("ab", [10, 30]).draw([np.array([[1.0, 0.0], [0.25, 0.75]])]).tolist() == [10, 25]
    falling = [{**text, "nll_sum": 12.0 - text["tokens"]} for text in texts([0, 0], [])]
    ratio = likelihood(falling, "forget")
    assert ratio.draw([np.array([[0.5, 0.5], [0.0, 1.0]])]).tolist() == [21 / 3, 10 / 2]
    pairs = membership(texts([-1, -3], [-2, -4]))
    assert pairs.draw([np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])]).tolist() == [1.0]
    assert pairs.draw([np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])]).tolist() == [0.5]


def test_an_auc_knows_scores_by_their_ranks_in_their_own_model() -> None:
    """A model that ranks all texts alike has a PrivLeak of 0 in all draws, whatever its scale."""
    scores, scaled = texts([-1, -3, -2], [-2, -5]), texts([-10, -30, -20], [-20, -50])
    assert value(membership(scores)) == (0 + 0.5 + 0 + 0 + 1 + 0) / 6
    assert np.nanmax(np.abs(item_draws(privleak(scaled, scores)))) == 0


def test_the_units_of_a_ratio_have_its_value_and_its_error() -> None:
    rng = np.random.default_rng(1)
    items = [
        {"id": i, "split": "forget", "tokens": n, "nll_sum": n * rng.normal(3.0, 0.5)}
        for i, n in enumerate(rng.integers(20, 60, size=200).tolist())
    ]
    ratio = likelihood(items, "forget")
    assert ratio.units is not None
    assert ratio.units.mean() == pytest.approx(value(ratio))
    assert ratio.units.std() / np.sqrt(200) == pytest.approx(item_draws(ratio).std(), rel=0.05)


def test_a_draw_in_which_retrain_has_an_auc_of_0_has_no_privleak() -> None:
    retrain = texts([-1, -3], [-2])
    found = privleak(texts([-3, -1], [-2]), retrain)
    each = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert found.draw([each, np.ones((3, 1))]) == pytest.approx([np.nan, -100.0, 0.0], nan_ok=True)
    with pytest.raises(InputError, match="AUC of forget against holdout is 0"):
        privleak(retrain, texts([-1, -1], [-2]))


def lay_down(folder: Path, holdout: list[float]) -> Path:
    """Records with hand-made scores: forget texts at -1 and -3, holdout texts as given."""
    evaluate(folder.parent, folder.name, forget=(-1.0, -3.0), holdout=holdout)
    answer = {"id": 0, "question": "?", "reference": "the red mill", "rougeL": 0.3}
    prompt = {"prompt": "a", "reference": "red mill", "rougeL": 0.3}  # computed anew
    verbatim = [{"id": i, **prompt, "output": text} for i, text in enumerate(("red mills", ""))]
    write_jsonl(folder / records.VERBMEM, verbatim)
    write_jsonl(folder / records.KNOWMEM_FORGET, [{**answer, "output": "the"}])
    write_jsonl(folder / records.KNOWMEM_RETAIN, [{**answer, "output": "the red mill"}])
    return folder / records.PRIVLEAK


def scored(folder: Path, retrain: Path | None) -> dict[str, Any]:
    return scoring.score(folder, retrain, stemmer=True)


def test_score_by_hand(tmp_path: Path) -> None:
    retrain = lay_down(tmp_path / "retrain", [-2.0, -2.0])
    lay_down(tmp_path / "model", [-2.0, -4.0])
    result = scored(tmp_path / "model", retrain)
    metrics = result["metrics"]
    assert (result["status"], result["retrain_auc"]) == ("ok", 0.5)
    assert tuple(DEFINITIONS) == METRICS
    expected = {
        "verbmem": (50.0, 2),  # 1 and 0
        "knowmem": (50.0, 1),  # one of one and one of three words: F1 = 2/(1+3)
        "privleak": (-50.0, 4),
        "utility": (100.0, 1),
        "auc": (0.25, 4),  # -2 beats -3; everything else loses
        "nll_forget": (1.5, 2),
        "nll_retain": (1.5, 2),
    }
    assert {name: (entry["value"], entry["n"]) for name, entry in metrics.items()} == expected
    assert all(entry["ci_low"] <= entry["value"] <= entry["ci_high"] for entry in metrics.values())
    assert scoring.score(tmp_path / "model", retrain, False)["metrics"]["verbmem"]["value"] == 25.0


def test_privleak_carries_the_doubt_about_retrain(tmp_path: Path) -> None:
    """A model that ranks the texts as retrain does is at 0 whichever texts are drawn."""
    retrain = lay_down(tmp_path / "retrain", [-2.0, -4.0])
    lay_down(tmp_path / "model", [-2.0, -0.5])
    own, same = (scored(tmp_path / "retrain", reference) for reference in (None, retrain))
    zero = {"value": 0.0, "n": 4, "ci_low": 0.0, "ci_high": 0.0}
    assert own["metrics"]["privleak"] == same["metrics"]["privleak"] == zero
    # Retrain's AUC is 0 where -3, which loses to -2 alone, is not drawn, or -2 is not: 7 of 16
    assert own["dropped_draws"] == same["dropped_draws"] == pytest.approx(10_000 * 7 / 16, abs=300)
    # .75 to .25. On the texts drawn retrain has .25, .5 or 1 and the model .5 to 1, never less.
    other = scored(tmp_path / "model", retrain)["metrics"]["privleak"]
    assert other == {"value": 200.0, "n": 4, "ci_low": 0.0, "ci_high": 200.0}


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    model, other = tmp_path / "model", lay_down(tmp_path / "other", [-2.0, -2.0])
    lay_down(model, [-2.0])
    with pytest.raises(InputError, match="of other texts"):
        scored(model, other)
    write_jsonl(other, [{"id": "forget/0", "split": "forget", "tokens": 3, "nll_sum": 1.0}])
    with pytest.raises(InputError, match="line 1 lacks min_k"):
        scored(model, other)
    (model / records.PRIVLEAK).write_text("")
    with pytest.raises(InputError, match=r"privleak\.jsonl: no records"):
        scored(model, None)


# --- Formulas, words and prompts ----------------------------------------------------------------

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
    assert (prompts.cut_answer(text, "plain"), prompts.cut_answer(text, "muse")) == (plain, muse)
    assert (prompts.scored_reference(text, "plain"), prompts.scored_reference(text, "muse")) == (
        plain,
        text,
    )


@pytest.mark.parametrize("prompt", ["muse", "plain"])
def test_an_answer_does_not_change_once_it_is_ended(prompt: Prompt) -> None:
    rng = random.Random(2)
    pieces = [*prompts.STOP_STRINGS, "\n", "Question", ":", " ", "Oslo", "n"]
    for _ in range(300):
        text = "".join(rng.choices(pieces, k=8))
        for length in range(len(text)):
            if prompts.is_answered(text[:length], prompt):
                assert prompts.cut_answer(text[:length], prompt) == prompts.cut_answer(text, prompt)


def test_prompt_and_missing_examples() -> None:
    pairs = [{"question": f"q{i}?", "answer": f"a{i}"} for i in range(3)]
    examples = prompts.few_shot(pairs, 2, "knowmem/forget_qa_icl.json")
    plain = "Question: q0?\nAnswer: a0\n\nQuestion: q1?\nAnswer: a1\n\nQuestion: q?\nAnswer:"
    assert prompts.question_prompt(examples, "q?", "plain") == plain
    assert prompts.question_prompt(examples, "q?", "muse") == plain + " "
    with pytest.raises(InputError, match=r"knowmem/forget_qa_icl.json has 3 .* shots is 4"):
        prompts.few_shot(pairs, 4, "knowmem/forget_qa_icl.json")
