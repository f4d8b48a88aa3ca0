"""An evaluation or measurement of another experiment is known by its manifests, and named."""

import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_manifests import manifest
from small_records import evaluate
from small_survival import write_cell

from qunlearn.analysis.lineage import check_evaluations, check_measurements
from qunlearn.experiment.names import Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import MANIFEST, MODEL_INPUTS, hash_files, inputs_of
from qunlearn.settings.evaluation import EvaluateSettings

SETTINGS = EvaluateSettings(verbmem_tokens=9)
FULL, LORA, SCALED = (f"news/ga/{adapter}/seed0" for adapter in ("full", "lora", "lora_scaled0.5"))
CELLS = ["news/retrain/bf16", "news/retrain/nf4", "news/target/bf16", "news/target/nf4"]
CELLS += [f"{FULL}/nf4", f"{LORA}/nf4", f"{SCALED}/nf4"]
Change = Callable[[Path], None]


def step(folder: Path, name: str, **inputs: Path) -> None:
    """A folder that `name` has made, with a weight file of its own."""
    weights = {"model.safetensors": {"sha256": str(folder), "bytes": 1}}
    manifest(folder, name, {}, inputs, outputs=weights)


def change(folder: Path, **facts: object) -> None:
    """Edit a manifest."""
    write_json(folder / MANIFEST, read_json(folder / MANIFEST) | facts)


def ask(results: Path, cell: str, model: Path) -> None:
    """Evaluate a made-up model."""
    evaluate(results / "eval", cell)
    inputs = {"corpus": results / "data/news", "model": model}
    if cell != CELLS[0]:
        inputs["retrain"] = results / "eval" / CELLS[0] / "privleak.jsonl"
    facts = {"precision": model.name, MODEL_INPUTS: inputs_of(model)}
    facts["outputs"] = hash_files(results / "eval" / cell)
    manifest(results / "eval" / cell, "evaluate", asdict(SETTINGS), inputs, **facts)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An experiment whose parts belong together."""
    corpus, models, unlearned = (tmp_path / name for name in ("data/news", "models", "unlearned"))
    step(corpus, "corpus")
    step(models / "news/base", "train_base", corpus=corpus)
    for name in ("target", "retrain"):
        step(models / "news" / name, "finetune", base=models / "news/base", corpus=corpus)
    for model in (FULL, LORA):
        step(unlearned / model, "unlearn", target=models / "news/target", corpus=corpus)
    step(unlearned / SCALED, "scale", adapter=unlearned / LORA)
    for cell in CELLS:
        model = cell.rpartition("/")[0]
        own = (models if model.count("/") == 1 else unlearned) / model
        merged = {"base": models / "news/target"} if "lora" in model else {}
        step(tmp_path / "quantized" / cell, "quantize", source=own, **merged)
        ask(tmp_path, cell, tmp_path / "quantized" / cell)
    return tmp_path


def check(
    results: Path, settings: EvaluateSettings = SETTINGS, split_questions: bool = False
) -> None:
    cells = [cell for cell in CELLS if (results / "eval" / cell).exists()]
    check_evaluations(results / "eval", cells, settings, split_questions)


def test_what_belongs_together_passes_with_and_without_the_models(results: Path) -> None:
    check(results)
    for folder in ("quantized", "unlearned", "models", "data"):
        shutil.rmtree(results / folder)
        check(results)


def remake(name: str) -> Change:
    """Make a folder anew, from the same inputs and with another content."""
    another = {"model.safetensors": {"sha256": "another", "bytes": 1}}
    return lambda results: change(results / name, outputs=another)


def copy(source: str, target: str) -> Change:
    def run(results: Path) -> None:
        shutil.rmtree(results / target, ignore_errors=True)
        shutil.copytree(results / source, results / target)

    return run


def edit_metrics(results: Path) -> None:
    file = results / f"eval/{LORA}/nf4/metrics.json"
    file.write_text(file.read_text().replace("ok", "OK"))


def ask_retrain_again(results: Path) -> None:
    evaluate(results / "eval", CELLS[0], nll=(3.0, 4.0))
    folder = results / "eval" / CELLS[0]
    change(folder, outputs=hash_files(folder))


def train_on_another_corpus(results: Path) -> None:
    """Its content, and so its digest, stays."""
    folder = results / "unlearned" / FULL
    change(folder, inputs=read_json(folder / MANIFEST)["inputs"] | {"corpus": "another"})


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (edit_metrics, rf"eval/{LORA}/nf4/metrics\.json: other content than when it was written"),
        (lambda results: (results / f"eval/{LORA}/nf4/{MANIFEST}").unlink(), "nf4/man.*: missing"),
        (copy("eval/news/target/nf4", "eval/news/target/bf16"), "precision is 'nf4' and not"),
        (remake("data/news"), r"its input 'corpus' was not what .*data/news"),
        (ask_retrain_again, r"its input 'retrain' was not what .*privleak\.jsonl"),
        (copy("eval/news/target/bf16", f"eval/{CELLS[0]}"), "retrain's own evaluation, yet"),
        (remake(f"quantized/{FULL}/nf4"), rf"eval/{FULL}/nf4/.*'model' was not .*quantized/{FULL}"),
        (remake(f"unlearned/{SCALED}"), rf"quantized/{SCALED}/nf4/.*'source' was not"),
        (remake("models/news/base"), r"models/news/retrain/manifest\.json: its input 'base' was"),
        (train_on_another_corpus, rf"unlearned/{FULL}/.*: its input 'corpus' was not what"),
    ],
)
def test_what_is_anothers_is_named(results: Path, tamper: Change, told: str) -> None:
    tamper(results)
    with pytest.raises(InputError, match=told):
        check(results)


def test_other_settings_and_other_questions(results: Path) -> None:
    with pytest.raises(InputError, match=r"settings\.verbmem_tokens is 9 and not 128: of another"):
        check(results, EvaluateSettings())
    with pytest.raises(InputError, match=r"settings\.stemmer is True and not False"):
        check(results, replace(SETTINGS, stemmer=False))
    step(results / "questions/news/test", "split_questions")
    check(results)
    with pytest.raises(InputError, match=r"its input 'corpus' was not what .*questions/news/test"):
        check(results, split_questions=True)


def test_a_fetched_target_has_no_training_behind_it(results: Path) -> None:
    change(results / "models/news/target", step="fetch_model", inputs={})
    check(results)


def test_measurements(tmp_path: Path) -> None:
    survival, model = tmp_path / "survival", tmp_path / "unlearned" / FULL
    step(model, "unlearn")
    write_cell(survival, f"{FULL}/nf4")
    manifest(survival / FULL, "survival", {}, {"model": model})
    cells = [Cell.parse(cell) for cell in (f"{FULL}/nf4", f"{LORA}/nf4", "news/target/nf4")]
    check_measurements(survival, cells)
    remake(f"unlearned/{FULL}")(tmp_path)
    with pytest.raises(InputError, match=rf"survival/{FULL}/manifest\.json: its input 'model'"):
        check_measurements(survival, cells)
    shutil.rmtree(tmp_path / "unlearned")
    check_measurements(survival, cells)
