"""What a candidate is asked: the same numbers as the evaluation of its bf16 folder has."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from small_corpora import SMALL
from tiny_models import UNLEARNING, tiny_llama, wake
from transformers import PreTrainedTokenizerFast

from qunlearn.analysis.selection.questions import ask
from qunlearn.corpora import layout, mini
from qunlearn.evaluate.evaluate import evaluate
from qunlearn.models.checkpoints import save_model
from qunlearn.quantize.checkpoint import quantize_checkpoint
from qunlearn.quantize.method import Precision
from qunlearn.run.files import read_json, read_jsonl, write_json
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.training.adapters import with_adapter

SETTINGS = EvaluateSettings(
    batch_size=4, verbmem_tokens=1, knowmem_tokens=6, shots=0, max_tokens=48
)


@pytest.fixture(scope="module")
def corpus() -> layout.Corpus:
    """Whose answers are what the model happens to say, so that scores are not all 0."""
    found = mini.generate("news", replace(SMALL, questions=1))
    return replace(found, privleak=found.privleak | {"forget": found.privleak["forget"][:3]})


@pytest.fixture(scope="module")
def base(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    save_model(tiny_llama(vocabulary=len(tokenizer)), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    model = with_adapter(tiny_llama(vocabulary=len(tokenizer)), "lora", UNLEARNING, seed=0)
    assert isinstance(model, PeftModel)
    wake(model)
    folder = base.parent / "epoch2"
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("of_adapter", [False, True])
def test_numbers_are_those_of_the_evaluation_in_bf16(
    base: Path, adapter: Path, corpus: layout.Corpus, tmp_path: Path, of_adapter: bool
) -> None:
    source = adapter if of_adapter else base
    found = ask(source, base, corpus, SETTINGS)
    if of_adapter:
        assert abs(found["nll_forget"] - ask(base, None, corpus, SETTINGS)["nll_forget"]) > 0.1
    quantize_checkpoint(source, base, Precision.parse("bf16"), tmp_path / "bf16")
    (tmp_path / "eval").mkdir()
    evaluate(tmp_path / "bf16", "bf16", corpus, None, SETTINGS, tmp_path / "eval")
    metrics = read_json(tmp_path / "eval/metrics.json")["metrics"]
    for name in ("knowmem", "utility", "nll_forget"):
        assert found[name] == pytest.approx(metrics[name]["value"], abs=2e-6), name
    for name, file in (("knowmem", "knowmem_forget"), ("utility", "knowmem_retain")):
        assert found["items"][name] == read_jsonl(tmp_path / f"eval/{file}.jsonl")
    assert found["status"] == "ok"


def test_a_model_that_gives_no_numbers_has_diverged(
    tokenizer: PreTrainedTokenizerFast, corpus: layout.Corpus, tmp_path: Path
) -> None:
    model = tiny_llama(vocabulary=len(tokenizer))
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    save_model(model, tokenizer, tmp_path)
    write_json(tmp_path / "manifest.json", {"status": "ok"})  # as of a training
    assert ask(tmp_path, None, corpus, SETTINGS) == {"status": "diverged"}
