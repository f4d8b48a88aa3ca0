"""Prompts that are cut and reference answers that no answer can equal: counted, said and kept."""

from dataclasses import replace
from pathlib import Path

import pytest
from talking_models import TEXTS, small_corpus, talking_model, talking_tokenizer
from transformers import PreTrainedTokenizerFast

from qunlearn.evaluate import evaluate as evaluation
from qunlearn.evaluate import records
from qunlearn.evaluate.prompts import question_prompts
from qunlearn.evaluate.reach import shortfalls
from qunlearn.report import main_table as main
from qunlearn.run.files import write_json
from qunlearn.settings.evaluation import EvaluateSettings

SETTINGS = EvaluateSettings(
    batch_size=4, verbmem_tokens=6, knowmem_tokens=20, shots=0, max_tokens=20
)
PLAIN = replace(SETTINGS, prompt="plain")


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return talking_tokenizer()


def length(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    return len(tokenizer(text)["input_ids"])


def test_nothing_is_said_where_all_fits(tokenizer: PreTrainedTokenizerFast) -> None:
    assert shortfalls(tokenizer, 256, small_corpus(), SETTINGS) == []


def test_cut_prompts_are_counted(tokenizer: PreTrainedTokenizerFast) -> None:
    """A prompt that just fits its room is not cut."""
    corpus = small_corpus()
    lengths = sorted(length(tokenizer, item["prompt"]) for item in corpus.verbmem["forget"])
    room, over = lengths[-3], sum(each > lengths[-3] for each in lengths)
    assert 0 < over < 3
    settings = replace(SETTINGS, knowmem_tokens=1)
    found = shortfalls(tokenizer, room + 6, corpus, settings)
    expected = f"VerMem: {over} of 7 prompts are longer than the {room} tokens that"
    assert found[0].startswith(expected)
    assert [line.split(":")[0] for line in found].count("VerMem") == 1


def test_prompts_are_cut_where_the_examples_leave_no_room(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    corpus, settings = small_corpus(), replace(SETTINGS, shots=2)
    longest = max(length(tokenizer, text) for text in question_prompts(corpus, "forget", settings))
    assert shortfalls(tokenizer, longest + 20, corpus, settings) == []
    (line,) = shortfalls(tokenizer, longest + 19, corpus, settings)
    assert line.startswith("KnowMem: ") and "of 5 prompts" in line and "evaluate.shots" in line
    found = shortfalls(tokenizer, 60, corpus, settings)
    assert [line[:15] for line in found] == ["KnowMem: 5 of 5", "Utility: 2 of 2"]


def test_answers_of_several_paragraphs(tokenizer: PreTrainedTokenizerFast) -> None:
    """Of the benchmark's way it is said that no answer equals them; plainly, one can."""
    corpus = small_corpus()
    for card in corpus.knowmem["forget_qa"][:2]:
        card["answer"] = "Yes.\n\nIt does."
    corpus.knowmem["retain_qa"][0]["answer"] = "No.\nQuestion: why?"
    kinds = [line[:46] for line in shortfalls(tokenizer, 256, corpus, SETTINGS)]
    assert kinds == [
        "KnowMem: 2 of 5 reference answers go on after ",
        "Utility: 1 of 2 reference answers go on after ",
    ]
    assert shortfalls(tokenizer, 256, corpus, PLAIN) == []
    model = talking_model(tokenizer)
    said = {
        settings.prompt: records.question_records(model, tokenizer, corpus, settings, "forget")
        for settings in (SETTINGS, PLAIN)
    }
    assert said["muse"][0]["reference"] == "Yes.\n\nIt does."
    assert said["plain"][0]["reference"] == "Yes."


def test_answers_longer_than_what_is_generated(tokenizer: PreTrainedTokenizerFast) -> None:
    corpus = small_corpus()
    answers = [card["answer"] for card in corpus.knowmem["forget_qa"]]
    longest = max(length(tokenizer, answer.strip()) for answer in answers)
    settings = replace(PLAIN, knowmem_tokens=longest)
    assert not any("KnowMem" in line for line in shortfalls(tokenizer, 256, corpus, settings))
    settings = replace(PLAIN, knowmem_tokens=longest - 1)
    (line,) = [line for line in shortfalls(tokenizer, 256, corpus, settings) if "KnowMem" in line]
    assert f"of 5 reference answers are longer than the {longest - 1} tokens" in line


def test_an_evaluation_says_and_keeps_them(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    corpus = small_corpus()
    corpus.knowmem["forget_qa"][0]["answer"] = "Yes.\n\nIt does."
    model = talking_model(tokenizer)
    facts = evaluation.evaluate_model(model, tokenizer, "bf16", corpus, None, SETTINGS, tmp_path)
    assert facts["shortfalls"] == shortfalls(tokenizer, 256, corpus, SETTINGS)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning: ")]
    assert said == [f"warning: {line}" for line in facts["shortfalls"]]
    assert len(said) == 1


def test_the_benchmarks_prompt_is_asked_and_scored(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a model that says a blank line first, and then the reference."""
    corpus = small_corpus()
    asked: list[str] = []

    def repeat(_: object, __: object, prompts: list[str], **___: object) -> list[str]:
        asked.extend(prompts)
        return [f"\n\n{card['answer']}" for card in corpus.knowmem["forget_qa"]]

    monkeypatch.setattr("qunlearn.evaluate.generate.continuations", repeat)
    model = talking_model(tokenizer)
    found = [
        records.question_records(model, tokenizer, corpus, settings, "forget")
        for settings in (SETTINGS, PLAIN)
    ]
    question = f"Question: Where is {TEXTS[0][:9]}?\nAnswer:"
    assert [asked[0], asked[5]] == [question + " ", question]
    assert {row["output"] for row in found[0]} == {""}
    assert {row["rougeL"] for row in found[0]} == {0.0}
    assert [row["output"] for row in found[1]] == [row["reference"] for row in found[1]]


def test_the_table_names_each_shortfall_once(tmp_path: Path) -> None:
    cells = {"news/target/bf16": ["A: x", "B: y"], "news/retrain/bf16": ["A: x"], "news/ga": []}
    for cell, lines in cells.items():
        write_json(tmp_path / cell / "manifest.json", {"shortfalls": lines})
    write_json(tmp_path / "books/target/bf16/manifest.json", {"status": "diverged"})
    found = main.shortfalls(tmp_path, [*cells, "books/target/bf16"])
    assert found == ["NEWS A: x.", "NEWS B: y."]
