"""Evaluations of eight cells, on numbers small enough to check by hand."""

import json
from pathlib import Path

from qunlearn.analysis.metrics import METRICS

CELLS = [
    "news/target/bf16",
    "news/target/rtn3g64",
    "news/retrain/bf16",
    "news/retrain/rtn3g64",
    "news/npo_gdr/full/seed0/bf16",
    "news/npo_gdr/full/seed0/rtn3g64",
    "news/npo_gdr/lora/seed0/bf16",
    "news/npo_gdr/lora/seed0/rtn3g64",
]


def entries(start: float) -> dict[str, dict[str, float]]:
    """Metrics start, start + 1, … in the file's order, each with its interval and n."""
    return {
        metric: {
            "value": start + index,
            "ci_low": start + index - 1.25,
            "ci_high": start + index + 2.75,
            "n": 30 + index,
        }
        for index, metric in enumerate(METRICS)
    }


def evaluate(folder: Path, cell: str, content: object) -> None:
    path = folder / cell / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
