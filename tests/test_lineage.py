"""What manifests tell: outputs of another experiment are named, and cards state their facts."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from small_summaries import single, unpadded
from small_workflow import TINY, change_manifest, without_weights

from qunlearn.analysis.lineage import check_evaluations, check_measurements
from qunlearn.analysis.summary import Scores, read_metrics
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import cells
from qunlearn.experiment.names import METRICS, Cell
from qunlearn.report.cards import card
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, sha256, write_json
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
    change_manifest(results / "models/news/target", step="fetch_model", inputs={})
    check(results)  # it has no training behind it
    for folder in ("quantized", "unlearned", "models", "data"):
        shutil.rmtree(results / folder)
        check(results)


def remake(name: str) -> Change:
    """Make a folder anew, from the same inputs and with another content."""
    another = {"model.safetensors": {"sha256": "another", "bytes": 1}}
    return lambda results: change_manifest(results / name, outputs=another)


def swap_precisions(results: Path) -> None:
    shutil.rmtree(results / "eval/news/target/bf16")
    shutil.copytree(results / "eval/news/target/nf4", results / "eval/news/target/bf16")


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
        (swap_precisions, "precision is 'nf4' and not"),
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


def test_measurements(results: Path) -> None:
    own = [Cell.parse(cell) for cell in cells(CONFIG)]
    check_measurements(results / "survival", own)
    remake(f"unlearned/{FULL}")(results)
    with pytest.raises(InputError, match=rf"survival/{FULL}/manifest\.json: its input 'model'"):
        check_measurements(results / "survival", own)
    shutil.rmtree(results / "unlearned")
    check_measurements(results / "survival", own)


# --- Model cards: every fact from its manifest, and nothing where one is missing ------------------

NF4 = f"{LORA}/nf4"
PRECISIONS = ("bf16", "nf4", "gptq4g32", "rtn3g64")
FACTS = f"""\
# NEWS: NPO+KLR, LoRA, seed 0, NF4
`{NF4}` of the experiment `tiny`
| Model before unlearning (target) | trained on forget, retain1, retain2 of NEWS |
| Variant of the update | LoRA (`lora`) |
| `rank` | 16 |
| Library | bitsandbytes {version("bitsandbytes")} |
| Grid | one scale a block of 64 weights, no double quantization |
| Quantized matrices | all 14 linear layers except the output head;
pip install transformers=={version("transformers")} bitsandbytes=={version("bitsandbytes")} acc
text is gone: other prompts"""


def scores_of(results: Path) -> Scores:
    return read_metrics(results / "tables/metrics.csv")


def written(results: Path, cell: str) -> str:
    """The card of a run, which stands in two places."""
    text = (results / "cards" / f"{cell}.md").read_text(encoding="utf-8")
    assert text == (results / "quantized" / cell / "README.md").read_text(encoding="utf-8")
    return unpadded(text)


def test_a_card_states_each_fact(tiny_run: Path) -> None:
    results = tiny_run / "results/tiny"
    text, scores = written(results, NF4), scores_of(results)
    assert [fact for fact in FACTS.splitlines() if fact not in text] == []
    for metric, start, form in (("verbmem", "| VerMem ↓ |", "z.1f"), ("auc", "| AUC |", "z.3f")):
        (line,) = [line for line in text.splitlines() if line.startswith(start)]
        cells = [Cell.parse(cell) for cell in (NF4, "news/target/nf4", "news/retrain/nf4")]
        found = [own.numbers for own in (scores[cell, metric] for cell in cells) if own.numbers]
        shown = [f" {x:{form}} [{low:{form}}, {high:{form}}] |" for x, low, high in found]
        assert line == f"{start}{''.join(shown)} {scores[cells[0], metric].n} |"
    weights = results / "quantized" / NF4 / "model.safetensors"
    line = f"| `model.safetensors` | {weights.stat().st_size} | `{sha256(weights)}` |"
    assert line in text
    seconds = str(read_json(weights.with_name(MANIFEST))["wall_seconds"])
    assert str(tiny_run) not in text and f" {seconds} " not in text


@pytest.mark.parametrize("precision", PRECISIONS)
def test_front_matter_is_yaml_and_the_snippet_is_python(tiny_run: Path, precision: str) -> None:
    text = written(tiny_run / "results/tiny", f"{LORA}/{precision}")
    front = yaml.safe_load(text.split("---\n")[1])
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)

    gptq = precision == "gptq4g32"
    assert front["library_name"] == ("gptqmodel" if gptq else "transformers")
    assert front["tags"] == ["unlearning", "quantization", precision]
    assert snippet is not None
    compile(snippet[1], "snippet", "exec")
    assert ("GPTQModel.load" in snippet[1]) == gptq
    assert ("dequantize" in snippet[1]) == ("**Warning.**" in text) == (precision == "nf4")
    assert ("bitsandbytes==" in text) == (precision == "nf4")


def test_a_gptq_card_has_the_calibration_but_not_its_texts(tiny_run: Path) -> None:
    results = tiny_run / "results/tiny"
    text = written(results, f"{LORA}/gptq4g32")
    manifest = read_json(results / "quantized" / LORA / "gptq4g32" / MANIFEST)
    for key, value in manifest["calibration"].items():
        assert f"| `{key}` | {value} |" in text
    assert f"| Library | gptqmodel {version('gptqmodel')} |" in text
    for used in read_json(results / "data/news/raw/retain1.json"):
        assert unpadded(used)[:40] not in text
    assert "Calibration" not in written(results, NF4)


def test_what_is_missing_or_not_this_models_is_an_error(results: Path) -> None:
    scores, quantized = scores_of(results), results / "quantized" / NF4
    del scores[Cell.parse("news/retrain/nf4"), "verbmem"]
    with pytest.raises(InputError, match="verbmem of news/retrain/nf4 is missing"):
        card(results, NF4, scores)
    lost = {(Cell.parse(NF4), metric): single("diverged") for metric in METRICS}
    with pytest.raises(InputError, match=f"verbmem of {NF4} is 'diverged', though"):
        card(results, NF4, lost)
    content = read_json(quantized / MANIFEST)
    change_manifest(quantized, status="diverged")
    text = f"The training of {NF4} diverged: this folder has no model.\n"
    assert card(results, NF4, {}) == text
    write_json(quantized / MANIFEST, {k: v for k, v in content.items() if k != "storage"})
    with pytest.raises(InputError, match="no 'storage'"):
        card(results, NF4, scores_of(results))
    change_manifest(quantized, settings={"name": "fp4"})
    with pytest.raises(InputError, match="of fp4, not nf4; quantize it again"):
        card(results, NF4, scores_of(results))
    change_manifest(results / "unlearned" / LORA, outputs={})
    with pytest.raises(InputError, match=r"its input 'source' was not what .* holds now"):
        card(results, f"{LORA}/bf16", scores_of(results))
