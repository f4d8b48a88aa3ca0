"""On which processors an experiment was trained and evaluated, as its manifests say."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qunlearn.analysis.summary import distinct
from qunlearn.report.pages import manifests

_TRAINING = ("train_base", "finetune", "unlearn", "match_norm")


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
