"""Prompts that are cut and reference answers that no answer can equal: counted beforehand."""

from dataclasses import replace

import pytest
from talking_models import TEXTS, model, small_corpus, tokenizer

from qunlearn.evaluate.evaluate import Evaluation
from qunlearn.evaluate.prompts import question_prompts, shortfalls
from qunlearn.settings.evaluation import EvaluateSettings

SETTINGS = EvaluateSettings(
    batch_size=4, verbmem_tokens=6, knowmem_tokens=20, shots=0, max_tokens=20
)
PLAIN = replace(SETTINGS, prompt="plain")


def length(text: str) -> int:
    return len(tokenizer(text)["input_ids"])


def test_cut_prompts_are_counted() -> None:
    """A prompt that just fits its room is not cut."""
    corpus = small_corpus()
    assert shortfalls(tokenizer, 256, corpus, SETTINGS) == []
    lengths = sorted(length(item["prompt"]) for item in corpus.verbmem["forget"])
    room, over = lengths[-3], sum(each > lengths[-3] for each in lengths)
    assert 0 < over < 3
    settings = replace(SETTINGS, knowmem_tokens=1)
    found = shortfalls(tokenizer, room + 6, corpus, settings)
    expected = f"VerMem: {over} of 7 prompts exceed the {room} tokens that"
    assert found[0].startswith(expected)
    assert [line.split(":")[0] for line in found].count("VerMem") == 1

    settings = replace(SETTINGS, shots=2)
    longest = max(length(text) for text in question_prompts(corpus, "forget", settings))
    assert shortfalls(tokenizer, longest + 20, corpus, settings) == []
    (line,) = shortfalls(tokenizer, longest + 19, corpus, settings)
    assert line.startswith("KnowMem: ") and "of 5 prompts" in line and "evaluate.shots" in line
    found = shortfalls(tokenizer, 60, corpus, settings)
    assert [line[:15] for line in found] == ["KnowMem: 5 of 5", "Utility: 2 of 2"]


def test_answers_that_no_answer_can_equal() -> None:
    """Answers of several paragraphs in the benchmark's way alone; and those that are too long."""
    corpus = small_corpus()
    answers = [card["answer"] for card in corpus.knowmem["forget_qa"]]
    longest = max(length(answer.strip()) for answer in answers)
    for most, expected in ((longest, []), (longest - 1, ["KnowMem"])):
        found = shortfalls(tokenizer, 256, corpus, replace(PLAIN, knowmem_tokens=most))
        assert [line[:7] for line in found if "KnowMem" in line] == expected
    assert f"of 5 reference answers are longer than the {longest - 1} tokens" in found[0]

    for card in corpus.knowmem["forget_qa"][:2]:
        card["answer"] = "Yes.\n\nIt does."
    corpus.knowmem["retain_qa"][0]["answer"] = "No.\nQuestion: why?"
    assert [line[:46] for line in shortfalls(tokenizer, 256, corpus, SETTINGS)] == [
        "KnowMem: 2 of 5 reference answers go on after ",
        "Utility: 1 of 2 reference answers go on after ",
    ]
    assert shortfalls(tokenizer, 256, corpus, PLAIN) == []


def test_the_benchmarks_prompt_is_put_and_scored(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a model that says a blank line first, and then the reference."""
    corpus = small_corpus()
    corpus.knowmem["forget_qa"][1]["answer"] = "Yes.\n\nIt does."
    put: list[str] = []

    def repeat(_: object, __: object, prompts: list[str], **___: object) -> list[str]:
        put.extend(prompts)
        return [f"\n\n{card['answer']}" for card in corpus.knowmem["forget_qa"]]

    monkeypatch.setattr("qunlearn.evaluate.evaluate.continuations", repeat)
    muse, plain = (
        Evaluation(model, tokenizer, corpus, settings).questions("forget")
        for settings in (SETTINGS, PLAIN)
    )
    question = f"Question: Where is {TEXTS[0][:9]}?\nAnswer:"
    assert [put[0], put[5]] == [question + " ", question]
    assert {row["output"] for row in muse} == {""}
    assert {row["rougeL"] for row in muse} == {0.0}
    assert [row["output"] for row in plain] == [row["reference"] for row in plain]
    assert [rows[1]["reference"] for rows in (muse, plain)] == ["Yes.\n\nIt does.", "Yes."]
