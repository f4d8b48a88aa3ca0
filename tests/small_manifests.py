"""Made-up manifests and metrics, as the steps of an experiment leave them behind."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qunlearn.evaluate.records import PRIVLEAK
from qunlearn.experiment.names import BEFORE
from qunlearn.run.manifest import MANIFEST, digest, hash_files
from qunlearn.settings.evaluation import EvaluateSettings


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
