"""An evaluation or measurement of another experiment is known by its manifests, and named."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from small_workflow import TINY, change_manifest, without_weights

from qunlearn.analysis.lineage import check_evaluations, check_measurements
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import cells
from qunlearn.experiment.names import Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, hash_files
from qunlearn.settings.evaluation import EvaluateSettings

CONFIG = configfiles.read([Path(TINY[1])])
SETTINGS = EvaluateSettings(**CONFIG["evaluate"])
FULL, LORA = (f"news/npo_klr/{adapter}/seed0" for adapter in ("full", "lora"))
RETRAIN = "news/retrain/bf16"
Change = Callable[[Path], object]


@pytest.fixture
def results(tiny_run: Path, tmp_path: Path) -> Path:
    return without_weights(tiny_run, tmp_path / "results")


def check(
    results: Path, settings: EvaluateSettings = SETTINGS, split_questions: bool = False
) -> None:
    check_evaluations(results / "eval", cells(CONFIG), settings, split_questions)


def test_what_belongs_together_passes_with_and_without_the_models(results: Path) -> None:
    check(results)
    for folder in ("quantized", "unlearned", "models", "data"):
        shutil.rmtree(results / folder)
        check(results)


def remake(name: str) -> Change:
    """Make a folder anew, from the same inputs and with another content."""
    another = {"model.safetensors": {"sha256": "another", "bytes": 1}}
    return lambda results: change_manifest(results / name, outputs=another)


def copy(source: str, target: str) -> Change:
    def run(results: Path) -> None:
        shutil.rmtree(results / target)
        shutil.copytree(results / source, results / target)

    return run


def edit_metrics(results: Path) -> None:
    file = results / f"eval/{LORA}/nf4/metrics.json"
    file.write_text(file.read_text().replace("ok", "OK"))


def ask_retrain_again(results: Path) -> None:
    folder = results / "eval" / RETRAIN
    with (folder / "privleak.jsonl").open("a") as stream:
        stream.write("\n")
    change_manifest(folder, outputs=hash_files(folder))


def give(name: str, **inputs: str) -> Change:
    """Another input; the content, and so the digest, stays."""

    def run(results: Path) -> None:
        old = read_json(results / name / MANIFEST)["inputs"]
        change_manifest(results / name, inputs=old | inputs)

    return run


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (edit_metrics, rf"eval/{LORA}/nf4/metrics\.json: other content than when it was written"),
        (lambda results: (results / f"eval/{LORA}/nf4/{MANIFEST}").unlink(), "nf4/man.*: missing"),
        (copy("eval/news/target/nf4", "eval/news/target/bf16"), "precision is 'nf4' and not"),
        (remake("data/news"), r"its input 'corpus' was not what .*data/news"),
        (ask_retrain_again, r"its input 'retrain' was not what .*privleak\.jsonl"),
        (give(f"eval/{RETRAIN}", retrain="another"), "retrain's own evaluation, yet"),
        (remake(f"quantized/{FULL}/nf4"), rf"eval/{FULL}/nf4/.*'model' was not .*quantized/{FULL}"),
        (remake(f"unlearned/{LORA}"), rf"quantized/{LORA}/bf16/.*'source' was not"),
        (remake("models/news/base"), r"models/news/t.*/manifest\.json: its input 'base' was"),
        (
            give(f"unlearned/{FULL}", corpus="another"),
            rf"unlearned/{FULL}/.*: its input 'corpus' was not what",
        ),
    ],
)
def test_what_is_anothers_is_named(results: Path, tamper: Change, told: str) -> None:
    tamper(results)
    with pytest.raises(InputError, match=told):
        check(results)


def test_other_settings_and_other_questions(results: Path) -> None:
    with pytest.raises(InputError, match=r"settings\.verbmem_tokens is 8 and not 128: of another"):
        check(results, replace(SETTINGS, verbmem_tokens=128))
    shutil.copytree(results / "models/news/target", results / "questions/news/test")
    check(results)
    with pytest.raises(InputError, match=r"its input 'corpus' was not what .*questions/news/test"):
        check(results, split_questions=True)


def test_a_fetched_target_has_no_training_behind_it(results: Path) -> None:
    change_manifest(results / "models/news/target", step="fetch_model", inputs={})
    check(results)


def test_measurements(results: Path) -> None:
    own = [Cell.parse(cell) for cell in cells(CONFIG)]
    check_measurements(results / "survival", own)
    remake(f"unlearned/{FULL}")(results)
    with pytest.raises(InputError, match=rf"survival/{FULL}/manifest\.json: its input 'model'"):
        check_measurements(results / "survival", own)
    shutil.rmtree(results / "unlearned")
    check_measurements(results / "survival", own)
