"""Made-up results of two runs: a chain of steps with their manifests, and cells with few items."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from small_records import evaluate

from qunlearn.provenance import digest, hash_files

CHAIN = {
    "data/news": (),
    "models/news/base": ("data/news",),
    "models/news/target": ("models/news/base", "data/news"),
    "unlearned/news/npo_gdr/lora/seed0": ("models/news/target", "data/news"),
}
LORA = "news/npo_gdr/lora/seed0/bf16"
CELLS = ("news/target/bf16", "news/retrain/bf16", LORA)
ITEMS = 8


def step(results: Path, folder: str, text: str, inputs: Mapping[str, Path], **facts: Any) -> None:
    """A folder with one file, and its manifest."""
    (results / folder).mkdir(parents=True, exist_ok=True)
    (results / folder / "weights").write_text(text, encoding="utf-8")
    describe(results / folder, folder, {name: digest(path) for name, path in inputs.items()}, facts)


def describe(place: Path, name: str, inputs: Mapping[str, str], facts: Mapping[str, Any]) -> None:
    content = {
        "step": name.split("/")[0],
        "seed": 0,
        "settings": {"lr": 0.001},
        "inputs": dict(inputs),
        "outputs": hash_files(place),
        "git_commit": "abc",
        "python": "3.11.7",
        "packages": {"torch": "2.13.0"},
        "device": "AMD EPYC",
        "threads": "1",
        **facts,
    }
    (place / "manifest.json").write_text(json.dumps(content), encoding="utf-8")


def run(
    results: Path,
    texts: Mapping[str, str] | None = None,
    cells: Sequence[str] = CELLS,
    facts: Mapping[str, Any] | None = None,
    **lora: Any,
) -> Path:
    """The results of a run.

    Args:
        texts: what is in the file of a step, where it is not the step's name.
        cells: those that are evaluated.
        facts: of all manifests.
        lora: arguments of `small_records.evaluate` for the cell LORA.
    """
    for folder, read in CHAIN.items():
        inputs = {name.rpartition("/")[2]: results / name for name in read}
        step(results, folder, (texts or {}).get(folder, folder), inputs, **(facts or {}))
    for cell in cells:
        scored(results, cell, **(lora if cell == LORA else {}))
    return results


def scored(results: Path, cell: str, **scores: Any) -> None:
    """An evaluation: ROUGE-L 0.5 for every answer, and texts that tell nothing apart."""
    given = {"rouge": [0.5] * ITEMS, "nll": [2.0] * ITEMS}
    given |= {"forget": [-1.0] * ITEMS, "holdout": [-1.0] * ITEMS, **scores}
    evaluate(results / "eval", cell, **given)
    describe(results / "eval" / cell, "eval", {}, {"settings": {"batch_size": 32}})
