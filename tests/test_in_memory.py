"""Precisions made in memory: the same bytes as by way of a folder, and the jobs that do it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from conftest import ROOT, Snakemake
from peft import LoraConfig, get_peft_model
from talking_models import small_corpus, talking_model, talking_tokenizer
from test_workflow import jobs
from tiny_models import wake

from qunlearn.checkpoints import load_dense, save_model
from qunlearn.corpora import layout
from qunlearn.errors import InputError
from qunlearn.evaluate import evaluation, records
from qunlearn.evaluate.in_memory import Evaluator
from qunlearn.files import read_json, write_json
from qunlearn.precision import Precision
from qunlearn.quantize import quantize_checkpoint
from qunlearn.quantize.in_memory import in_precision
from qunlearn.settings.evaluation import EvaluateSettings

PRECISIONS = ("bf16", "int8", "nf4", "fp4", "rtn4", "rtn3g64")
SETTINGS = EvaluateSettings(
    batch_size=4, verbmem_tokens=6, knowmem_tokens=6, shots=2, max_tokens=20
)
FILES = (*records.FIELDS, "metrics.json")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "base"
    tokenizer = talking_tokenizer()
    save_model(talking_model(tokenizer), tokenizer, folder)
    return folder


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    torch.manual_seed(0)
    adapted = get_peft_model(load_dense(base), LoraConfig(r=2, target_modules="all-linear"))
    wake(adapted)
    adapted.save_pretrained(base.parent / "adapter")
    return base.parent / "adapter"


def small_files(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_the_same_bytes_as_by_way_of_a_folder(base: Path, adapter: Path, tmp_path: Path) -> None:
    wanted = [Precision.parse(name) for name in PRECISIONS]
    evaluator = Evaluator(adapter, base, wanted)
    seen = set()
    for precision in wanted:
        quantize_checkpoint(adapter, base, precision, tmp_path / precision.name)
        for place in ("by folder", "in memory"):
            (tmp_path / place / precision.name).mkdir(parents=True)
        arguments = (small_corpus(), None, SETTINGS)
        expected = evaluation.evaluate(
            tmp_path / precision.name,
            precision.name,
            *arguments,
            tmp_path / "by folder" / precision.name,
        )
        facts = evaluator.evaluate(precision, *arguments, tmp_path / "in memory" / precision.name)
        found = small_files(tmp_path / "in memory" / precision.name)
        assert facts == expected
        assert found == small_files(tmp_path / "by folder" / precision.name), precision.name
        seen.add(found["privleak.jsonl"])
    assert len(seen) == len(PRECISIONS)  # each precision did change the model


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_copy_leaves_the_model_as_it_was(base: Path, name: str) -> None:
    dense = load_dense(base)
    before = {key: value.clone() for key, value in dense.state_dict().items()}
    frequencies = dense.model.rotary_emb.inv_freq.clone()
    made = in_precision(dense, Precision.parse(name))
    assert torch.equal(made.model.rotary_emb.inv_freq.cpu(), frequencies)
    made(input_ids=torch.tensor([[3, 4, 5]], device=made.device))
    assert all(torch.equal(before[key], value) for key, value in dense.state_dict().items())
    assert not hasattr(dense.config, "quantization_config")


def test_a_precision_that_does_not_fit_is_told_before_the_first_is_asked(base: Path) -> None:
    wanted = [Precision.parse(name) for name in ("bf16", "rtn4g48")]
    with pytest.raises(InputError, match="group 48 does not divide"):
        Evaluator(base, None, wanted)


def test_a_diverged_model_has_empty_records(tmp_path: Path) -> None:
    write_json(tmp_path / "model/manifest.json", {"status": "diverged"})
    evaluator = Evaluator(tmp_path / "model", None, [Precision.parse("nf4")])
    facts = evaluator.evaluate(
        Precision.parse("nf4"), small_corpus(), tmp_path / "none", SETTINGS, tmp_path
    )
    assert facts == {"status": "diverged"}
    assert (tmp_path / "verbmem.jsonl").read_bytes() == b""


def run_script(*arguments: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "workflow/scripts/evaluate_in_memory.py"
    return subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True)


def test_the_script_makes_retrain_its_own_reference(base: Path, tmp_path: Path) -> None:
    layout.write(tmp_path / "corpus", small_corpus())
    settings = [f"--{k.replace('_', '-')}={v}" for k, v in vars(SETTINGS).items() if k != "stemmer"]
    done = run_script(
        f"--source={base}",
        f"--corpus={tmp_path / 'corpus'}",
        f"--output={tmp_path / 'eval'}",
        *settings,
        *("--precisions", "bf16", "rtn4"),
    )
    assert done.returncode == 0, done.stderr
    first, second = (
        read_json(tmp_path / f"eval/{name}/manifest.json") for name in ("bf16", "rtn4")
    )
    assert set(first["inputs"]) == {"source", "corpus"}
    assert set(second["inputs"]) == {"source", "corpus", "retrain"}
    assert read_json(tmp_path / "eval/bf16/metrics.json")["metrics"]["privleak"]["value"] == 0.0
    assert second["precision"] == "rtn4"
    assert second["batches"]["verbmem"]["largest"] == 4


def test_gptq_is_refused(tmp_path: Path) -> None:
    done = run_script(
        f"--source={tmp_path}",
        f"--corpus={tmp_path}",
        f"--output={tmp_path / 'eval'}",
        *("--precisions", "bf16", "gptq4"),
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: precision 'gptq4' calibrates on texts: use quantize_gptq.py, then evaluate.py\n"
    )


def test_without_quantized_folders_one_job_asks_a_model_in_all_precisions_but_gptqs(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    unkept = tmp_path / "unkept.yaml"
    unkept.write_text(yaml.safe_dump({"keep": "adapters"}), encoding="utf-8")
    tiny = ("--configfile", str(ROOT / "config/tiny.yaml"), str(unkept))
    planned = snakemake(tmp_path, *tiny, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    found = jobs(planned.stdout)
    assert "quantize" not in found
    assert "model_cards" not in found
    wanted = {"quantize_gptq": 5, "evaluate": 5, "evaluate_in_memory": 5, "survival": 3}
    assert {name: found[name] for name in wanted} == wanted


def test_a_job_in_memory_writes_what_the_jobs_by_folder_wrote(
    tiny_run: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    shutil.copytree(tiny_run / "results", tmp_path / "results")
    shutil.rmtree(tmp_path / "results/tiny/eval")
    unkept = tmp_path / "unkept.yaml"
    unkept.write_text(yaml.safe_dump({"keep": "adapters"}), encoding="utf-8")
    model = "results/tiny/eval/news/npo_klr/lora/seed0"
    done = snakemake(
        tmp_path,
        *("--configfile", str(ROOT / "config/tiny.yaml"), str(unkept)),
        *("--rerun-triggers", "mtime", "--", f"{model}/nf4/metrics.json"),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "evaluate_in_memory" in done.stderr
    for precision in ("bf16", "nf4", "rtn3g64"):
        written = small_files(tmp_path / model / precision)
        assert written == small_files(tiny_run / model / precision), precision
