"""An evaluation or measurement of another experiment is known by its manifests, and named."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_manifests import manifest, sign_measurements
from small_records import evaluate
from small_survival import write_cell

from qunlearn.analysis.lineage import check_evaluations, check_measurements
from qunlearn.analysis.metrics import Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import MANIFEST, MODEL_INPUTS, digest, hash_files, inputs_of
from qunlearn.settings.evaluation import EvaluateSettings

SETTINGS = EvaluateSettings(verbmem_tokens=9)
FULL, LORA, SCALED = (f"news/ga/{adapter}/seed0" for adapter in ("full", "lora", "lora_scaled0.5"))
CELLS = [
    *("news/target/bf16", "news/target/nf4", "news/retrain/bf16", "news/retrain/nf4"),
    *(f"{FULL}/bf16", f"{FULL}/nf4", f"{LORA}/nf4", f"{SCALED}/nf4"),
]


def step(folder: Path, name: str, content: str = "", **inputs: Path) -> None:
    """A folder that `name` has made, with a weight file of its own."""
    weights = {"model.safetensors": {"sha256": content or str(folder), "bytes": 1}}
    manifest(folder, name, {}, inputs, outputs=weights)


def ask(results: Path, cell: str, **inputs: Path) -> None:
    """Evaluate a made-up model; of what it was made from only the digests are left."""
    folder, retrain = results / "eval" / cell, results / "eval/news/retrain/bf16/privleak.jsonl"
    evaluate(results / "eval", cell)
    inputs |= {"corpus": results / "data/news"}
    if cell != "news/retrain/bf16":
        inputs["retrain"] = retrain
    made = {
        "step": "evaluate",
        "precision": folder.name,
        "settings": asdict(SETTINGS),
        "inputs": {name: digest(path) for name, path in inputs.items()},
        "outputs": hash_files(folder),
    }
    if "model" in inputs:
        made[MODEL_INPUTS] = inputs_of(inputs["model"])
    (folder / MANIFEST).write_text(json.dumps(made))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """An experiment whose parts belong together; one cell was evaluated in memory."""
    corpus, models = tmp_path / "data/news", tmp_path / "models/news"
    unlearned = tmp_path / "unlearned"
    step(corpus, "corpus")
    step(models / "base", "train_base", corpus=corpus)
    for name in ("target", "retrain"):
        step(models / name, "finetune", base=models / "base", corpus=corpus)
    for model in (FULL, LORA):
        step(unlearned / model, "unlearn", target=models / "target", corpus=corpus)
    step(unlearned / SCALED, "scale", adapter=unlearned / LORA)
    for cell in sorted(CELLS, key=lambda cell: cell != "news/retrain/bf16"):
        model = cell.rpartition("/")[0]
        own = models / model.split("/")[1] if model.count("/") == 1 else unlearned / model
        merged = {"base": models / "target"} if "lora" in model else {}
        if cell == f"{FULL}/bf16":
            ask(tmp_path, cell, source=own)
            continue
        step(tmp_path / "quantized" / cell, "quantize", source=own, **merged)
        ask(tmp_path, cell, model=tmp_path / "quantized" / cell)
    return tmp_path


def check(
    results: Path, settings: EvaluateSettings = SETTINGS, split_questions: bool = False
) -> None:
    check_evaluations(results / "eval", CELLS, settings, split_questions)


def test_what_belongs_together_passes_with_and_without_the_models(results: Path) -> None:
    check(results)
    for folder in ("quantized", "unlearned", "models", "data"):
        shutil.rmtree(results / folder)
        check(results)


def edit(file: Path) -> None:
    file.write_text(file.read_text().replace("ok", "OK"))


def remake(name: str) -> Callable[[Path], None]:
    """Make a folder anew, from the same inputs and with another content."""

    def run(results: Path) -> None:
        made = read_json(results / name / MANIFEST)
        made["outputs"]["model.safetensors"]["sha256"] = "another"
        write_json(results / name / MANIFEST, made)

    return run


def copy(source: str, target: str) -> Callable[[Path], None]:
    def run(results: Path) -> None:
        shutil.rmtree(results / target, ignore_errors=True)
        shutil.copytree(results / source, results / target)

    return run


def without(folder: str, change: Callable[[Path], None]) -> Callable[[Path], None]:
    def run(results: Path) -> None:
        shutil.rmtree(results / folder)
        change(results)

    return run


def ask_retrain_again(results: Path) -> None:
    evaluate(results / "eval", "news/retrain/bf16", nll=(3.0, 4.0))
    folder = results / "eval/news/retrain/bf16"
    write_json(folder / MANIFEST, read_json(folder / MANIFEST) | {"outputs": hash_files(folder)})


def give_retrain_a_reference(results: Path) -> None:
    folder = results / "eval/news/retrain/bf16"
    made = read_json(folder / MANIFEST)
    made["inputs"]["retrain"] = "a digest"
    write_json(folder / MANIFEST, made)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(
            lambda results: edit(results / f"eval/{LORA}/nf4/metrics.json"),
            rf"{LORA}/nf4/metrics\.json: other content than when it was written",
            id="metrics.json alone",
        ),
        pytest.param(
            lambda results: (results / f"eval/{LORA}/nf4/{MANIFEST}").unlink(),
            rf"{LORA}/nf4/manifest\.json: missing; make the folder again by the step 'evaluate'",
            id="no manifest",
        ),
        pytest.param(
            copy("eval/news/target/nf4", "eval/news/target/bf16"),
            r"target/bf16/manifest\.json: precision is 'nf4' and not 'bf16'",
            id="another precision's",
        ),
        pytest.param(
            copy(f"eval/{LORA}/nf4", f"eval/{FULL}/nf4"),
            rf"{FULL}/nf4/manifest\.json: its input 'model' was not what .*quantized/{FULL}/nf4",
            id="another model's",
        ),
        pytest.param(
            without("quantized", copy(f"eval/{LORA}/nf4", f"eval/{FULL}/nf4")),
            rf"{FULL}/nf4/manifest\.json: its input 'source' was not what .*unlearned/{FULL} ",
            id="another model's, whose quantized folder is gone",
        ),
        pytest.param(
            remake("data/news"), r"its input 'corpus' was not what .*data/news", id="corpus"
        ),
        pytest.param(
            ask_retrain_again, r"its input 'retrain' was not what .*privleak\.jsonl", id="retrain"
        ),
        pytest.param(
            give_retrain_a_reference, "retrain's own evaluation, yet", id="retrain's retrain"
        ),
        pytest.param(
            remake(f"quantized/{FULL}/nf4"), rf"eval/{FULL}/nf4/.*'model' was not", id="quantized"
        ),
        pytest.param(
            remake(f"unlearned/{FULL}"),
            rf"eval/{FULL}/bf16/manifest\.json: its input 'source' was not",
            id="evaluated in memory",
        ),
        pytest.param(
            remake(f"unlearned/{SCALED}"),
            rf"quantized/{SCALED}/nf4/manifest\.json: its input 'source' was not",
            id="a scaled adapter",
        ),
        pytest.param(
            without(f"eval/{LORA}", remake(f"unlearned/{LORA}")),
            rf"unlearned/{SCALED}/manifest\.json: its input 'adapter' was not",
            id="what was scaled",
        ),
        pytest.param(
            without("eval/news/target", remake("models/news/target")),
            r"unlearned/news/ga/full/seed0/manifest\.json: its input 'target' was not",
            id="target",
        ),
        pytest.param(
            without("unlearned", without("eval/news/target", remake("models/news/target"))),
            rf"quantized/{LORA}/nf4/manifest\.json: its input 'base' was not",
            id="target under an adapter",
        ),
        pytest.param(
            remake("models/news/base"),
            r"models/news/target/manifest\.json: its input 'base' was not",
            id="base",
        ),
    ],
)
def test_what_is_anothers_is_named(
    results: Path, change: Callable[[Path], None], told: str
) -> None:
    change(results)
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


def test_a_model_trained_on_another_corpus(results: Path) -> None:
    step(results / "another", "corpus")
    step(results / "unlearned" / FULL, "unlearn", "same", target=results / "models/news/target")
    made = read_json(results / "unlearned" / FULL / MANIFEST)
    made["inputs"]["corpus"] = digest(results / "another")
    made["outputs"]["model.safetensors"]["sha256"] = str(results / "unlearned" / FULL)
    write_json(results / "unlearned" / FULL / MANIFEST, made)
    with pytest.raises(InputError, match=rf"unlearned/{FULL}/.*: its input 'corpus' was not what"):
        check(results)


def test_a_fetched_target_has_no_training_behind_it(results: Path) -> None:
    target = results / "models/news/target"
    outputs = read_json(target / MANIFEST)["outputs"]
    manifest(target, "fetch_model", {"source": {"hub": "a/b"}}, {}, outputs=outputs)
    check(results)


def test_a_cell_that_is_not_there_is_left_to_the_reader(results: Path) -> None:
    check_evaluations(results / "eval", [*CELLS, "news/ga/full/seed7/nf4"], SETTINGS, False)


def test_measurements(tmp_path: Path) -> None:
    survival, model = tmp_path / "survival", tmp_path / "unlearned" / FULL
    step(model, "unlearn")
    write_cell(survival, f"{FULL}/nf4")
    sign_measurements(survival)
    made = read_json(survival / FULL / MANIFEST) | {"inputs": {"model": digest(model)}}
    write_json(survival / FULL / MANIFEST, made)
    cells = [Cell.parse(cell) for cell in (f"{FULL}/nf4", f"{LORA}/nf4", "news/target/nf4")]
    check_measurements(survival, cells)
    remake(f"unlearned/{FULL}")(tmp_path)
    with pytest.raises(InputError, match=rf"survival/{FULL}/manifest\.json: its input 'model'"):
        check_measurements(survival, cells)
    shutil.rmtree(tmp_path / "unlearned")
    check_measurements(survival, cells)
    (survival / FULL / "nf4.csv").write_text("")
    with pytest.raises(InputError, match=r"nf4\.csv: 0 bytes instead of"):
        check_measurements(survival, cells)
