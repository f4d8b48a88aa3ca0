"""What a model is asked: continuations, log-probabilities, and the records of both."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_corpora import run_script
from talking_models import TEXTS, greedy_by_hand, model, small_corpus, tokenizer
from tokenizers import processors
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    LlamaForCausalLM,
    PreTrainedModel,
)

from qunlearn.corpora import layout
from qunlearn.evaluate import evaluate as evaluation
from qunlearn.evaluate import records
from qunlearn.evaluate.batching import token_logprobs
from qunlearn.evaluate.evaluate import Evaluation
from qunlearn.evaluate.generate import continuations
from qunlearn.evaluate.prompts import question_prompts, shortfalls
from qunlearn.models.checkpoints import save_model
from qunlearn.quantize import method
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, read_jsonl, write_json
from qunlearn.settings.evaluation import BatchSize, EvaluateSettings

SETTINGS = EvaluateSettings(
    batch_size=4, verbmem_tokens=6, knowmem_tokens=6, shots=2, max_tokens=20
)


def windowed(kind: str) -> PreTrainedModel:
    """A random model of another family, of whose layers some or all see the last 12 tokens only."""
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "sliding_window": 12, "head_dim": 16}
    sizes |= {"hidden_size": 64, "intermediate_size": 128, "initializer_range": 0.3}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    sizes |= {"max_position_embeddings": 256, "pad_token_id": None}
    if kind == "qwen2":
        sizes |= {"use_sliding_window": True, "max_window_layers": 1}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes)).eval()
    model.generation_config.eos_token_id = None
    return model  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", ["mistral", "qwen2", "gemma2"])
def test_a_sliding_window_counts_no_padding(kind: str) -> None:
    """Short rows beside long ones, all with a beginning that is longer than the window."""
    model = windowed(kind)
    prompts = ["Question: one?\nAnswer: two\n\n" + text for text in TEXTS]
    outputs = continuations(model, tokenizer, prompts, new_tokens=12, batch_size=5)
    assert outputs == [greedy_by_hand(model, tokenizer, prompt, 12) for prompt in prompts]
    assert len(set(outputs)) > 3


GENERATION_SETTINGS: dict[str, Any] = {
    "repetition_penalty": 1.3,
    "no_repeat_ngram_size": 2,
    "bad_words_ids": [[5], [6, 7]],
    "min_length": 200,
    "max_time": 1e-9,
    "stop_strings": ["e"],
    "forced_eos_token_id": 10,
    "suppress_tokens": list(range(40, 120)),
    "do_sample": True,
    "num_beams": 3,
    "guidance_scale": 2.0,
    "cache_implementation": "static",
    "return_dict_in_generate": True,
}


@pytest.mark.parametrize("name", GENERATION_SETTINGS)
def test_a_checkpoints_generation_settings_change_no_answer(name: str) -> None:
    """As models tuned for talking are published with; likewise where they stand in config.json."""
    prompts = ["Question: one?\nAnswer: two\n\n" + text for text in TEXTS]
    expected = continuations(model, tokenizer, prompts, new_tokens=12, batch_size=5)
    changed = copy.deepcopy(model)
    setattr(changed.generation_config, name, GENERATION_SETTINGS[name])
    setattr(changed.config, name, GENERATION_SETTINGS[name])
    assert continuations(changed, tokenizer, prompts, new_tokens=12, batch_size=5) == expected
    assert getattr(changed.generation_config, name) == GENERATION_SETTINGS[name]


def test_the_end_tokens_of_a_checkpoint_stay() -> None:
    """Such as the end of a turn, which the tokenizer does not name."""
    whole = continuations(model, tokenizer, TEXTS, new_tokens=12, batch_size=5)
    (end,) = tokenizer("\n")["input_ids"]
    ending = copy.deepcopy(model)
    ending.generation_config.eos_token_id = [tokenizer.eos_token_id, end]
    ended = continuations(ending, tokenizer, TEXTS, new_tokens=12, batch_size=5)
    assert ended == [text.partition("\n")[0] for text in whole] != whole


def test_an_end_token_that_a_tokenizer_appends_is_left_out() -> None:
    """Of prompts, questions and scored texts: the records are those of the plain tokenizer."""
    corpus = small_corpus()
    changed = copy.deepcopy(tokenizer)
    changed.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", tokenizer.eos_token_id)]
    )
    assert changed("x")["input_ids"] == [*tokenizer("x")["input_ids"], tokenizer.eos_token_id]
    plain, closing = (Evaluation(model, each, corpus, SETTINGS) for each in (tokenizer, changed))
    assert closing.records() == plain.records()


def test_a_prompt_beyond_the_context_keeps_its_end() -> None:
    ids = tokenizer(" ".join(TEXTS * 4))["input_ids"]
    assert len(ids) > 246
    both = [tokenizer.decode(ids), tokenizer.decode(ids[-246:])]
    whole, cut = continuations(model, tokenizer, both, new_tokens=10, batch_size=1)
    assert whole == cut
    with pytest.raises(InputError, match="context of 256"):
        continuations(model, tokenizer, ["x"], new_tokens=256, batch_size=1)


def test_logprobs_equal_the_models_own_loss() -> None:
    scored = token_logprobs(model, tokenizer, TEXTS, batch_size=5, max_tokens=24)
    for text, values in zip(TEXTS, scored, strict=True):
        ids = torch.tensor([tokenizer(text)["input_ids"][:24]])
        assert values.shape == (ids.shape[1] - 1,)
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
        torch.testing.assert_close(torch.from_numpy(-values), loss, atol=1e-5, rtol=1e-5)

    with pytest.raises(InputError, match="'x' has fewer than two tokens"):
        token_logprobs(model, tokenizer, ["x"], batch_size=1, max_tokens=9)


def test_records_hold_what_was_asked() -> None:
    corpus = small_corpus()
    found = Evaluation(model, tokenizer, corpus, SETTINGS).records()
    assert found is not None
    assert [len(found[name]) for name in records.FIELDS] == [7, 5, 2, 8]
    for name, rows in found.items():
        assert all(tuple(row) == records.FIELDS[name] for row in rows)
    assert [row["id"] for row in found["privleak.jsonl"]][2:4] == ["forget/2", "retain/0"]
    text = found["privleak.jsonl"][0]
    with torch.no_grad():
        ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"][:20]])
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert text["tokens"] == 19
    assert text["nll_sum"] / text["tokens"] == pytest.approx(loss, abs=1e-5)
    assert -text["min_k"] > loss


def test_a_model_that_gives_no_numbers_has_no_records() -> None:
    corpus = small_corpus()
    broken = LlamaForCausalLM(model.config).eval()
    broken.lm_head.weight.data.fill_(float("nan"))
    assert Evaluation(broken, tokenizer, corpus, SETTINGS).records() is None


@pytest.mark.parametrize(("precision", "size"), [("int8", 8), ("nf4", "auto")])
def test_int8_does_not_depend_on_what_memory_is_free(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, precision: str, size: BatchSize
) -> None:
    corpus = small_corpus()
    seen: list[BatchSize] = []
    monkeypatch.setattr(Evaluation, "records", lambda self: seen.append(self.settings.batch_size))
    monkeypatch.setattr(method, "load_for_evaluation", lambda *_: (model, tokenizer))
    settings = replace(SETTINGS, batch_size="auto")
    evaluation.evaluate(tmp_path, precision, corpus, None, settings, tmp_path)
    assert seen == [size]


def test_the_script_evaluates_and_warns(tmp_path: Path) -> None:
    """A reference answer of two paragraphs is said and kept: the benchmark cuts answers there."""
    corpus = small_corpus()
    corpus.knowmem["forget_qa"][0]["answer"] = "Yes.\n\nIt does."
    layout.write(tmp_path / "corpus", corpus)
    save_model(copy.deepcopy(model).bfloat16(), tokenizer, tmp_path / "model")
    settings = [f"--{k.replace('_', '-')}={v}" for k, v in vars(SETTINGS).items() if k != "stemmer"]
    arguments = [f"--model={tmp_path / 'model'}", f"--corpus={tmp_path / 'corpus'}", *settings]
    arguments += ["--precision=bf16", f"--output={tmp_path / 'eval'}"]
    run = run_script("evaluate.py", *arguments, f"--retrain={tmp_path / 'none.jsonl'}", code=2)
    assert run.stderr == f"error: {tmp_path / 'none.jsonl'}: no such file; check the path\n"
    assert not (tmp_path / "eval").exists()

    run = run_script("evaluate.py", *arguments)
    manifest = read_json(tmp_path / "eval/manifest.json")
    assert manifest["status"] == "ok"
    assert manifest["shortfalls"][0].startswith("KnowMem: 1 of 5 reference answers go on")
    assert all(f"warning: {short}\n" in run.stderr for short in manifest["shortfalls"])
    assert set(manifest["outputs"]) == {*records.FIELDS, "metrics.json"}
    assert read_json(tmp_path / "eval/metrics.json")["metrics"]["privleak"]["value"] == 0.0


def test_a_diverged_model_has_empty_records(tmp_path: Path) -> None:
    corpus = small_corpus()
    write_json(tmp_path / "model/manifest.json", {"status": "diverged"})
    (tmp_path / "eval").mkdir()
    facts = evaluation.evaluate(
        tmp_path / "model", "nf4", corpus, None, SETTINGS, tmp_path / "eval"
    )
    assert facts == {"status": "diverged"}
    assert read_json(tmp_path / "eval/metrics.json") == {"status": "diverged", "metrics": {}}
    assert all(read_jsonl(tmp_path / "eval" / name) == [] for name in records.FIELDS)


# --- Prompts that are cut and reference answers that no answer can equal ----------------------

ZERO_SHOT = replace(SETTINGS, knowmem_tokens=20, shots=0)
PLAIN = replace(ZERO_SHOT, prompt="plain")


def length(text: str) -> int:
    return len(tokenizer(text)["input_ids"])


def test_cut_prompts_are_counted() -> None:
    """A prompt that just fits its room is not cut."""
    corpus = small_corpus()
    assert shortfalls(tokenizer, 256, corpus, ZERO_SHOT) == []
    lengths = sorted(length(item["prompt"]) for item in corpus.verbmem["forget"])
    room, over = lengths[-3], sum(each > lengths[-3] for each in lengths)
    assert 0 < over < 3
    settings = replace(ZERO_SHOT, knowmem_tokens=1)
    found = shortfalls(tokenizer, room + 6, corpus, settings)
    expected = f"VerMem: {over} of 7 prompts exceed the {room} tokens that"
    assert found[0].startswith(expected)
    assert [line.split(":")[0] for line in found].count("VerMem") == 1

    settings = replace(ZERO_SHOT, shots=2)
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
    assert [line[:46] for line in shortfalls(tokenizer, 256, corpus, ZERO_SHOT)] == [
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
        for settings in (ZERO_SHOT, PLAIN)
    )
    question = f"Question: Where is {TEXTS[0][:9]}?\nAnswer:"
    assert [put[0], put[5]] == [question + " ", question]
    assert {row["output"] for row in muse} == {""}
    assert {row["rougeL"] for row in muse} == {0.0}
    assert [row["output"] for row in plain] == [row["reference"] for row in plain]
    assert [rows[1]["reference"] for rows in (muse, plain)] == ["Yes.\n\nIt does.", "Yes."]
