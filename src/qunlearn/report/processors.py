"""The manifests behind an experiment, and the processors that they name."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qunlearn.analysis.summary import distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.names import REFERENCES, Cell
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

_TRAINING = ("train_base", "finetune", "unlearn", "match_norm")


def manifests(results: Path, cells: Sequence[str]) -> list[Mapping[str, Any]]:
    """The manifests behind `cells`, from the corpus to the evaluation.

    The manifest of a model that was not kept is in `records/`. A manifest that is not there either
    belongs to a model that the user supplied, or to one that was quantized, evaluated and removed.

    Args:
        results: the experiment's folder.
        cells: `<corpus>/<model id>/<precision>` each.

    Raises:
        InputError: a manifest does not parse.
    """
    parsed = [Cell.parse(name) for name in cells]
    folders = [f"data/{cell.corpus}" for cell in parsed]
    folders += [f"models/{cell.corpus}/base" for cell in parsed]
    folders += [
        f"{'models' if cell.objective in REFERENCES else 'unlearned'}/{cell.corpus}/{cell.model}"
        for cell in parsed
        if not cell.adapter.startswith(SPARE)
    ]
    folders += [f"{stage}/{name}" for stage in ("quantized", "eval") for name in cells]
    found = []
    for folder in distinct(folders):
        places = (results / folder / MANIFEST, results / "records" / folder / MANIFEST)
        found += [read_json(file) for file in places if file.is_file()][:1]
    return found


def processors(results: Path, cells: Sequence[str]) -> str:
    """`trained and evaluated on AMD EPYC (AVX2)`; empty where no manifest says it.

    Args:
        results: the experiment's folder.
        cells: `<corpus>/<model id>/<precision>` each.

    Raises:
        InputError: a manifest does not parse.
    """
    steps = dict.fromkeys(_TRAINING, "trained") | {"evaluate": "evaluated"}
    names: dict[str, list[str]] = {"trained": [], "evaluated": []}
    for made in manifests(results, cells):
        if step := steps.get(made["step"]):
            device, vectors = made.get("device"), made.get("instructions")
            names[step].append(f"{device} ({vectors})" if vectors else str(device))
    shown = {step: " and ".join(distinct(own)) for step, own in names.items() if own}
    if len(shown) == 2 and shown["trained"] == shown["evaluated"]:
        return f"trained and evaluated on {shown['trained']}"
    return ", ".join(f"{step} on {own}" for step, own in shown.items())
