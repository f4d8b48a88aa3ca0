"""Made-up manifests and metrics, as the steps of an experiment leave them behind."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from small_summaries import single

from qunlearn.analysis.summary import Scores
from qunlearn.evaluate.records import PRIVLEAK
from qunlearn.experiment.names import BEFORE, METRICS, Cell
from qunlearn.run.manifest import MANIFEST, digest, hash_files
from qunlearn.settings.evaluation import EvaluateSettings

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


def manifest(
    folder: Path, step: str, settings: Mapping[str, Any], inputs: Mapping[str, Path], **facts: Any
) -> None:
    content = {
        "step": step,
        "seed": 0,
        "settings": settings,
        "inputs": {name: digest(path) for name, path in inputs.items()},
        "outputs": {"model.safetensors": {"sha256": f"sha of {folder.name} {step}", "bytes": 99}},
        **facts,
        "git_commit": "abc123",
        "packages": {"torch": "2.13.0", "transformers": "5.23.0", "bitsandbytes": "0.50.2"},
        "wall_seconds": 271.828,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")


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


def sign_evaluations(folder: Path) -> None:
    """Give each made-up evaluation below `folder` the manifest that evaluate.py would write."""
    for file in sorted(folder.rglob("metrics.json")):
        cell = file.parent
        retrain = folder / cell.relative_to(folder).parts[0] / "retrain" / BEFORE
        inputs = {} if cell == retrain else {"retrain": retrain / PRIVLEAK}
        facts = {"precision": cell.name, "status": json.loads(file.read_text())["status"]}
        _sign(cell, "evaluate", inputs, settings=asdict(EvaluateSettings()), **facts)


def sign_measurements(survival: Path) -> None:
    """Give each made-up measurement below `survival` the manifest of measure_survival.py."""
    for folder in {file.parent for file in survival.rglob("*.csv")}:
        _sign(folder, "survival", {})


def _sign(folder: Path, step: str, inputs: Mapping[str, Path], **facts: Any) -> None:
    made = {name: digest(path) for name, path in inputs.items() if path.exists()}
    content = {"step": step, "inputs": made, "outputs": hash_files(folder), **facts}
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
