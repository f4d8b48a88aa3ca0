"""The manifests behind an experiment, and the processors that they name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qunlearn.analysis.metrics import REFERENCES, Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.controls import SPARE
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
    folders: list[str] = []
    for corpus in distinct(cell.corpus for cell in parsed):
        folders += [f"data/{corpus}", f"models/{corpus}/base"]
    for name, cell in zip(cells, parsed, strict=True):
        model = name.rpartition("/")[0]
        if cell.objective in REFERENCES:
            folders.append(f"models/{model}")
        elif not cell.adapter.startswith(SPARE):
            folders.append(f"unlearned/{model}")
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
    found = manifests(results, cells)
    trained = _names(each for each in found if each["step"] in _TRAINING)
    evaluated = _names(each for each in found if each["step"] == "evaluate")
    if trained == evaluated:
        return f"trained and evaluated on {trained}" if trained else ""
    steps = {"trained": trained, "evaluated": evaluated}
    return ", ".join(f"{step} on {names}" for step, names in steps.items() if names)


def _names(found: Iterable[Mapping[str, Any]]) -> str:
    names = distinct((each.get("device"), each.get("instructions")) for each in found)
    return " and ".join(f"{name} ({vectors})" if vectors else str(name) for name, vectors in names)
