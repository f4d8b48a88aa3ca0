"""An audit's corpus of a user's own text, and its verdicts."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from small_audit import DOCUMENTS, SCHEMA, WORDS, write
from small_summaries import missing, number

from qunlearn.analysis.summary import Key, Summary
from qunlearn.corpora import layout, text
from qunlearn.report import audit
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_jsonl
from qunlearn.settings.corpora import TextSettings

SETTINGS = TextSettings(items=3, characters=60, prompt=20)
CARDS = [{"question": f"Where is {word}?", "answer": f"In {word}ton."} for word in WORDS]


# --- From text to a corpus ----------------------------------------------------------------------


def test_text_becomes_pieces_and_prompts(tmp_path: Path) -> None:
    forget = write(tmp_path / "forget.txt", "\n\n \n".join([*DOCUMENTS, "short one"]))
    corpus = text.read_corpus(SETTINGS, forget, None, False)
    assert " ".join(corpus.raw["forget"]) == " ".join([*DOCUMENTS, "short one"])
    assert max(map(len, corpus.raw["forget"])) <= 60
    assert len(corpus.privleak["forget"]) == len(corpus.verbmem["forget"]) == 3
    for item in corpus.verbmem["forget"]:
        assert f"{item['prompt']} {item['gt']}" in corpus.raw["forget"]
        assert len(item["prompt"]) <= 20
    assert {file for file in layout.FILES if corpus.items(file)} == {
        *("raw/forget.json", "verbmem/forget.json", "privleak/forget.json")
    }
    assert text.read_corpus(SETTINGS, forget, None, False) == corpus
    other = TextSettings(**{**vars(SETTINGS), "seed": 1})
    assert text.read_corpus(other, forget, None, False) != corpus


def test_questions_and_text_to_keep(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "forget.jsonl", [{"text": DOCUMENTS[0]}, *CARDS[:4]])
    write_jsonl(tmp_path / "retain.jsonl", [*({"text": one} for one in DOCUMENTS[1:]), *CARDS[4:]])
    places = tmp_path / "forget.jsonl", tmp_path / "retain.jsonl"
    corpus = text.read_corpus(SETTINGS, *places, False)
    assert len(corpus.knowmem["forget_qa"]) == 3
    assert all(card in CARDS[:4] for card in corpus.knowmem["forget_qa"])
    assert len(corpus.knowmem["retain_qa"]) == 2  # of four, the half that nothing calibrates on
    retain1, retain2 = corpus.raw["retain1"], corpus.raw["retain2"]
    assert not {*retain1} & {*retain2}
    assert {*corpus.privleak["retain"]} < {*retain2}
    layout.write(tmp_path / "made", corpus)
    with pytest.raises(InputError, match=r"raw/holdout\.json: no such file"):
        layout.load(tmp_path / "made")  # without a manifest it is a user's, and must be whole


def test_text_that_is_also_to_be_kept_is_named(tmp_path: Path) -> None:
    places = [write(tmp_path / name, "\n\n".join(DOCUMENTS)) for name in ("forget", "retain")]
    long = TextSettings(characters=300, prompt=20)
    assert "GPTQ would calibrate on it" in text.overlaps(text.read_corpus(long, *places, False))[0]
    write(tmp_path / "config.json", json.dumps({"prompt": DOCUMENTS[0]}))
    leaked = text.leaks(text.read_corpus(long, *places, False), tmp_path)
    assert len(leaked) == 1
    assert "config.json" in leaked[0]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("forget.txt", " \n\n\n", "no text in it"),
        ("forget.txt", "A few words.\n\nMore of them.", "no document has the 40 characters"),
        ("forget.jsonl", '{"text": "a"}\n{"question": "b"}\n', "line 2 has no text"),
        ("forget.jsonl", "[1]\n", "line 1 has no text"),
    ],
)
def test_text_that_cannot_be_used(name: str, content: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        text.read_corpus(SETTINGS, write(tmp_path / name, content), None, False)


# --- Verdicts -----------------------------------------------------------------------------------


def numbers(
    reversion: Summary, utility: float = 50.0, bf16: Summary | None = None
) -> dict[Key, Summary]:
    """An audit by the NLL, in bf16 and nf4."""

    def place(objective: str, adapter: str, precision: str, metric: str) -> Key:
        return Key("text", objective, adapter, precision, metric)

    none, own = ("target", "none"), ("given", "after")
    found = {
        place(*none, precision, metric): number(value, 0.1)
        for precision in ("bf16", "nf4")
        for metric, value in (("nll_forget", 1.0), ("utility", 60.0))
    }
    for precision in ("bf16", "nf4"):
        found[place(*own, precision, "nll_forget")] = number(4.0, 0.1)
    found[place(*own, "bf16", "utility")] = number(50.0, 0.1)
    found[place(*own, "nf4", "utility")] = number(utility, 1.0)
    found[place(*own, "bf16", "reversion_nll_forget")] = bf16 or number(0.0, 0.0)
    found[place(*own, "nf4", "reversion_nll_forget")] = reversion
    return found


def judged(*given: Any, **more: Any) -> audit.Audit:
    proof = audit.Proof(library="torch 2", differing=0.9, fewest=0.8, sha256="f" * 64)
    fail_if = ("partly reverts", "reverts")
    found = numbers(*given, **more)
    made = audit.audit(found, {("text", "nf4"): proof}, 0.5, fail_if, "x", {"before": "b"})
    jsonschema.validate(made.model_dump(mode="json"), json.loads(SCHEMA.read_text()))
    return made


@pytest.mark.parametrize(
    ("reversion", "utility", "verdict", "failed"),
    [
        (number(0.0, 0.02), 50.0, "survives", False),
        (number(0.9, 0.05), 50.0, "reverts", True),
        (number(0.4, 0.05), 50.0, "partly reverts", True),
        (number(0.5, 0.1), 50.0, "partly reverts", True),
        (number(0.1, 0.1), 50.0, "inconclusive", False),
        (missing(undefined=1), 50.0, "undefined", False),
        (missing(diverged=1), 50.0, "broken", False),
        (number(0.0, 0.02), 20.0, "broken", False),
        (number(0.0, 0.02), 29.0, "survives", False),  # the interval holds the floor, 30
        (number(0.9, 0.02), 20.0, "reverts", True),  # broken or not, it came back
    ],
)
def test_verdicts(reversion: Summary, utility: float, verdict: str, failed: bool) -> None:
    made = judged(reversion, utility)
    assert made.formats[0].verdict == made.formats[0].metrics[0].verdict == verdict
    assert made.failed == failed
    assert made.control[0].remembered
    page = audit.markdown(made)
    assert f"| NF4 | **{verdict}** | {verdict}" in page
    assert page.startswith("# Failed" if failed else "# Passed")
    assert ("could have shown 0.28" in page) == (verdict == "inconclusive")


def test_what_was_never_unlearned_fails() -> None:
    """No metric tells before from after: the audit could not have seen anything come back."""
    made = judged(missing(undefined=1), bf16=missing(undefined=1))
    assert made.failed
    assert made.reasons == ["text: no metric tells the model from before from the one after"]
    assert "this metric cannot tell" in audit.markdown(made)


def test_without_questions_usefulness_is_that_of_the_text_and_without_text_nobody_knows() -> None:
    found = numbers(number(0.0, 0.02))
    words = {key: own for key, own in found.items() if key.metric != "utility"}
    assert audit.usefulness(words, "text", "nf4", 0.5) is None
    for objective, adapter, nll in (("target", "none", 2.0), ("given", "after", 3.0)):
        for precision in ("bf16", "nf4"):
            key = Key("text", objective, adapter, precision, "nll_retain")
            words[key] = number(nll, 0.01)
    useful = audit.usefulness(words, "text", "nf4", 0.5)
    assert useful is not None
    assert useful.share == pytest.approx(0.367879, abs=1e-6)  # exp(-1)
    assert useful.broken
    assert "not measured" in audit.markdown(judged(number(0.0, 0.02)))  # KnowMem


def test_the_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == audit.schema()
