"""Model cards: every fact from its manifest, and nothing where one is missing."""

import re
import runpy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from small_manifests import manifest
from small_summaries import single, unpadded

from qunlearn.analysis.summary import Scores, write_metrics
from qunlearn.experiment.names import METRICS, Cell
from qunlearn.report.cards import card
from qunlearn.run.errors import InputError

PRECISIONS = {
    "bf16": ("bf16", 16, None),
    "int8": ("int8", 8, None),
    "nf4": ("nf4", 4, None),
    "rtn3g64": ("rtn", 3, 64),
    "gptq4": ("gptq", 4, 128),
}
UNLEARNING = {"lr": 0.0005, "epochs": 7.0, "stop_nll": 4.0, "gamma": 2.0, "alpha": 30.0}
UNLEARNING |= {"beta": 0.03, "rank": 16, "lora_alpha": 24.0, "dropout": 0.05, "autocast": True}
CALIBRATION = {"split": "retain1", "sequences": 32, "length": 64, "seed": 3, "tokens": 2048}
SECRET = "the text that GPTQ saw"
LORA = "news/npo_gdr/lora/seed0"
SCRIPT = runpy.run_path(str(ROOT / "workflow/scripts/write_model_cards.py"))


def quantize(results: Path, cell: str, source: Path, **facts: Any) -> Path:
    name = cell.rpartition("/")[2]
    method, bits, group = PRECISIONS[name]
    settings = {"name": name, "method": method, "bits": bits, "group": group}
    if method == "gptq":
        calibration = {**CALIBRATION, "sha256": "sha of tokens", "texts": [SECRET]}
        facts |= {"calibration": calibration, "backend": {"name": "gptqmodel", "version": "7.6.0"}}
    stored: dict[str, Any] = {"status": "ok", "quantized_matrices": 28 if bits < 16 else 0}
    stored |= {"storage": "some storage"}
    folder = results / "quantized" / cell
    manifest(folder, "quantize", settings, {"source": source}, **stored | facts)
    (folder / "model.safetensors").write_bytes(bytes(99))
    return folder


def unlearn(results: Path, model: str, step: str = "unlearn", **facts: Any) -> Path:
    folder = results / "unlearned" / model
    target = results / "models/news/target"
    manifest(folder, step, UNLEARNING, {"target": target}, updates=110, **facts)
    return folder


def table(*cells: str) -> Scores:
    """VerMem 10, KnowMem 11, …; of target 20, 21, …; of retrain 30, 31, …; reversion by hand."""
    scores = {}
    for cell in map(Cell.parse, cells):
        start = {"target": 20, "retrain": 30}.get(cell.objective, 10)
        for value, metric in enumerate(METRICS, start):
            scores[cell, metric] = single(value, 1.25, 2.5, value + 50)
        if cell.seed is not None:
            scores[cell, "reversion_verbmem"] = single(0.123, 0.023, 0.333)
            scores[cell, "reversion_privleak"] = single("undefined")
    return scores


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Target and retrain, and a LoRA model in every precision."""
    results = tmp_path / "mini"
    results.mkdir()
    (results / "corpus").write_text("corpus")
    for name, splits in (("target", ["forget", "retain1"]), ("retrain", ["retain1"])):
        folder = results / "models/news" / name
        inputs = {"corpus": results / "corpus"}
        manifest(folder, "finetune", {"lr": 0.0015, "warmup": 11}, inputs, splits=splits)
        for precision in PRECISIONS:
            quantize(results, f"news/{name}/{precision}", folder)
    adapter = unlearn(results, LORA)
    for precision in PRECISIONS:
        quantize(results, f"{LORA}/{precision}", adapter)
    return results


def written(results: Path, cell: str) -> str:
    corpus, precision = cell.split("/")[0], cell.rpartition("/")[2]
    beside = [f"{corpus}/{name}/{precision}" for name in ("target", "retrain")]
    return unpadded(card(results, cell, table(*dict.fromkeys([cell, *beside]))))


FACTS = """\
# NEWS: NPO+GDR, LoRA, seed 0, NF4
`news/npo_gdr/lora/seed0/nf4` of the experiment `mini`
| Model before unlearning (target) | trained on forget, retain1 of NEWS |
| Variant of the update | LoRA (`lora`) |
| `rank` | 16 |
| Library | bitsandbytes 0.50.2 |
| Grid | one scale a block of 64 weights, no double quantization |
| Quantized matrices | all 28 linear layers except the output head;
| VerMem ↓ | 10.0 [8.8, 12.5] | 20.0 [18.8, 22.5] | 30.0 [28.8, 32.5] | 60 |
| AUC | 14.000 [12.750, 16.500] | 24.000 [22.750, 26.500] | 34.000 [32.750, 36.500] | 64
| VerMem | 0.12 [0.10, 0.46] | 32 |
| PrivLeak | undefined | none |
pip install transformers==5.23.0 bitsandbytes==0.50.2 accelerate
| `model.safetensors` | 99 | `sha of nf4 quantize` |
text is gone: other prompts"""


def test_a_card_states_each_fact(results: Path) -> None:
    text = written(results, f"{LORA}/nf4")
    assert [fact for fact in FACTS.splitlines() if fact not in text] == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_front_matter_is_yaml_and_the_snippet_is_python(results: Path, precision: str) -> None:
    text = written(results, f"{LORA}/{precision}")
    front = yaml.safe_load(text.split("---\n")[1])
    snippet = re.search(r"```python\n(.*?)```", text, re.DOTALL)

    gptq = precision == "gptq4"
    assert front["library_name"] == ("gptqmodel" if gptq else "transformers")
    assert front["tags"] == ["unlearning", "quantization", precision]
    assert snippet is not None
    compile(snippet[1], "snippet", "exec")
    assert ("GPTQModel.load" in snippet[1]) == gptq
    assert ("dequantize" in snippet[1]) == ("**Warning.**" in text) == (precision == "nf4")
    assert ("bitsandbytes==" in text) == (precision in ("int8", "nf4"))


def test_a_gptq_card_has_the_calibration_but_not_its_texts(results: Path) -> None:
    text = written(results, f"{LORA}/gptq4")

    for key, value in {**CALIBRATION, "sha256": "sha of tokens"}.items():
        assert f"| `{key}` | {value} |" in text
    assert "| Library | gptqmodel 7.6.0 |" in text
    assert SECRET not in text
    assert "Calibration" not in written(results, f"{LORA}/nf4")


CONTROLS = {
    "lora_scaled0.5/seed0/nf4": ["LoRA × 0.5 (`lora_scaled0.5`)", "scaled by | 0.5 |", "`rank`"],
    "full_matched/seed0/nf4": ["FT at LoRA's norm"],
    "spare_zero_bin/seed0/rtn3g64": [
        "| Weights left unrounded | `zero_bin` |",
        "| Their share of the quantized matrices | 0.25 |",
        "| Share of weights that unlearning moved | 0.375 |",
        "| Optimizer steps | 110 |",
    ],
}


def test_controls_have_the_manifests_that_made_them(results: Path) -> None:
    unlearned, objective = results / "unlearned", "news/npo_gdr"
    scaled, matched, spared = (f"{objective}/{name}" for name in CONTROLS)
    model = unlearned / objective / "lora_scaled0.5/seed0"
    manifest(model, "scale", {"factor": 0.5}, {"adapter": unlearned / LORA})
    quantize(results, scaled, model)
    quantize(results, matched, unlearn(results, matched.removesuffix("/nf4"), step="match_norm"))
    rounded = unlearn(results, f"{objective}/full_bf16/seed0")
    quantize(results, spared, rounded, choice="zero_bin", spared=0.25, moved=0.375)

    for name, expected in CONTROLS.items():
        text = written(results, f"{objective}/{name}")
        assert [fact for fact in [*expected, "It is a control"] if fact not in text] == []
    assert "It is a control" not in written(results, f"{LORA}/nf4")


def test_a_diverged_model_has_one_line(results: Path) -> None:
    quantize(results, f"{LORA}/nf4", results / "unlearned" / LORA, status="diverged")
    text = f"The training of {LORA}/nf4 diverged: this folder has no model.\n"
    assert written(results, f"{LORA}/nf4") == text


def test_what_is_missing_or_not_this_models_is_an_error(results: Path) -> None:
    cell, adapter = f"{LORA}/nf4", results / "unlearned" / LORA
    with pytest.raises(InputError, match="verbmem of news/retrain/nf4 is missing"):
        card(results, cell, table(cell, "news/target/nf4"))
    lost = {(Cell.parse(cell), metric): single("diverged") for metric in METRICS}
    with pytest.raises(InputError, match=f"verbmem of {cell} is 'diverged', though"):
        card(results, cell, lost)
    unlearn(results, LORA, outputs={"model.safetensors": {"sha256": "another", "bytes": 99}})
    with pytest.raises(InputError, match=r"its input 'source' was not what .* holds now"):
        written(results, cell)
    quantize(results, cell, adapter)
    path = results / "quantized" / cell / "manifest.json"
    path.write_text(path.read_text().replace('"storage"', '"shape"'))
    with pytest.raises(InputError, match="no 'storage'"):
        written(results, cell)
    path.write_text(path.read_text().replace('"name": "nf4"', '"name": "fp4"'))
    with pytest.raises(InputError, match="of fp4, not nf4; quantize it again"):
        written(results, cell)


def test_the_script_writes_both_copies_or_nothing(results: Path) -> None:
    cells = [f"{model}/nf4" for model in ("news/target", "news/retrain", LORA)]
    write_metrics(results / "metrics.csv", "mini", table(*cells))
    write = partial(SCRIPT["main"], results / "metrics.csv", results, cells)
    lost = results / "quantized" / cells[2] / "manifest.json"
    content = lost.read_bytes()
    lost.unlink()
    with pytest.raises(InputError, match="missing; make the folder again"):
        write()
    assert not (results / "cards").exists()
    assert not (results / "quantized" / cells[0] / "README.md").exists()

    lost.write_bytes(content)
    write()
    for cell in cells:
        text = (results / "cards" / f"{cell}.md").read_text(encoding="utf-8")
        assert text == (results / "quantized" / cell / "README.md").read_text(encoding="utf-8")
        assert unpadded(text) == written(results, cell)
        assert str(results) not in text and "271.8" not in text
