"""The split of the questions: whole, disjoint, the same every time."""

from pathlib import Path

import pytest
from small_corpora import SMALL, run_script

from qunlearn.analysis.selection.questions import ASKED, part_of, selected
from qunlearn.corpora import layout, mini
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

QUESTIONS = [f"Who is number {index}?" for index in range(20)]


def chosen(questions: list[str], share: float, seed: int = 0) -> set[str]:
    return {questions[index] for index in selected(questions, share, seed, "a")}


def test_a_share_to_the_nearest_whole_number_leaves_no_part_empty() -> None:
    for share, count in ((0.3, 6), (0.025, 1), (0.974, 19)):
        assert len(selected(QUESTIONS, share, 0, "a")) == count
    for share, questions in ((0.024, QUESTIONS), (0.99, QUESTIONS), (0.5, ["one?"])):
        with pytest.raises(InputError, match=r"knowmem/a\.json: a share of .*selection\.share"):
            selected(questions, share, 0, "a")


def test_the_draw_is_by_the_text_and_the_seed_alone() -> None:
    # Written down once: another draw would mix what was chosen on with what is reported.
    assert selected(QUESTIONS, 0.2, 0, "a") == [0, 7, 8, 19]
    assert chosen(QUESTIONS, 0.2) == chosen(QUESTIONS[::-1], 0.2)
    assert chosen(QUESTIONS, 0.2) < chosen(QUESTIONS, 0.4)
    assert len({frozenset(chosen(QUESTIONS, 0.3, seed)) for seed in range(5)}) == 5


def test_a_question_that_stands_twice_is_on_one_side() -> None:
    doubled = QUESTIONS + QUESTIONS
    assert chosen(doubled, 0.3) == chosen(QUESTIONS, 0.3)
    assert len(selected(doubled, 0.3, 0, "a")) == 12
    assert chosen(doubled, 0.265) == chosen(QUESTIONS, 0.265)  # 5 of 20, not 11 of 40


def test_the_parts_are_the_corpus() -> None:
    corpus = mini.generate("news", SMALL)
    (selection, few), (test, many) = (
        part_of(corpus, part, 0.3, 3) for part in ("selection", "test")
    )
    for name in ASKED:
        whole, own, others = (
            [card["question"] for card in found.knowmem[name]]
            for found in (corpus, selection, test)
        )
        assert (few[name], many[name]) == (len(own), len(others))
        assert len(own) == round(0.3 * len(whole)) > 0
        assert sorted(own + others) == sorted(whole) and not set(own) & set(others)
        assert others == [question for question in whole if question in others]  # in their order
    for part in (selection, test):
        assert part.raw == corpus.raw
        assert part.privleak == corpus.privleak and part.verbmem == corpus.verbmem
        assert part.knowmem["forget_qa_icl"] == corpus.knowmem["forget_qa_icl"]


def test_the_script_writes_two_corpora(tmp_path: Path) -> None:
    corpus = mini.generate("news", SMALL)
    layout.write(tmp_path / "news", corpus)
    flags = (f"--corpus={tmp_path / 'news'}", "--share=0.3", "--seed=3")
    for place in ("one", "two"):
        run_script("split_questions.py", *flags, f"--output={tmp_path / place}")
    for part in ("selection", "test"):
        expected, numbers = part_of(corpus, part, 0.3, 3)  # type: ignore[arg-type]
        assert layout.load(tmp_path / "one" / part) == expected
        one, two = (read_json(tmp_path / name / part / "manifest.json") for name in ("one", "two"))
        assert one["outputs"] == two["outputs"]
        assert one["questions"] == numbers
