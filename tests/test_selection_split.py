"""The split of the questions: whole, disjoint, the same every time."""

import json
from pathlib import Path

import pytest
from small_corpora import SMALL, run_script

from qunlearn.analysis.selection.questions import ASKED, part_of, selected
from qunlearn.corpora import layout, mini
from qunlearn.run.errors import InputError

QUESTIONS = [f"Who is number {index}?" for index in range(20)]


def chosen(questions: list[str], share: float, seed: int = 0) -> set[str]:
    return {questions[index] for index in selected(questions, share, seed, "a")}


@pytest.mark.parametrize(("share", "count"), [(0.3, 6), (0.024, 0), (0.025, 1), (0.974, 19)])
def test_a_share_to_the_nearest_whole_number(share: float, count: int) -> None:
    if count:
        assert len(selected(QUESTIONS, share, 0, "a")) == count
    else:
        with pytest.raises(InputError, match=r"knowmem/a\.json: a share of 0\.024 of 20"):
            selected(QUESTIONS, share, 0, "a")


def test_no_part_is_left_without_questions() -> None:
    with pytest.raises(InputError, match=r"selection\.share"):
        selected(QUESTIONS, 0.99, 0, "a")
    with pytest.raises(InputError, match="of 1 questions"):
        selected(["one?"], 0.5, 0, "a")


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
        one, two = (
            json.loads((tmp_path / place / part / "manifest.json").read_text("utf-8"))
            for place in ("one", "two")
        )
        assert one["outputs"] == two["outputs"]
        assert one["questions"] == numbers


def test_the_script_tells_of_a_share_that_leaves_nothing(tmp_path: Path) -> None:
    layout.write(tmp_path / "news", mini.generate("news", SMALL))
    done = run_script(
        "split_questions.py",
        f"--corpus={tmp_path / 'news'}",
        "--share=0.01",
        "--seed=0",
        f"--output={tmp_path / 'out'}",
        code=2,
    )
    assert done.stderr.startswith("error: knowmem/forget_qa.json: a share of 0.01 of")
    assert not (tmp_path / "out").exists()
