"""Model cards: what a quantized folder is, for whoever gets that folder and nothing else.

A card says only what the manifests and `metrics.csv` say: no times, no paths and no texts, so that
the same run gives the same bytes. What it needs and does not find is an error.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from qunlearn.analysis.cells import REVERSIONS
from qunlearn.analysis.lineage import Manifest, trace
from qunlearn.analysis.summary import Scores, Summary
from qunlearn.experiment.labels import LINES, number, origin
from qunlearn.experiment.names import DIVERGED, REFERENCES, Cell
from qunlearn.quantize.method import Precision, method_of
from qunlearn.report.templates import fill
from qunlearn.run.errors import InputError
from qunlearn.training.objectives import Objective


def card(results: Path, name: str, scores: Scores) -> str:
    """The card of one cell, as Markdown under YAML front matter; one line for a diverged model.

    Args:
        results: the experiment's folder, with `quantized`, `unlearned` and `models` below it.
        name: `<corpus>/<model id>/<precision>`.
        scores: of the whole experiment.

    Raises:
        InputError: a manifest is missing, is of another step, lacks a fact or belongs to another
            model, or the metrics of the cell or of target or retrain beside it are missing.
    """
    cell = Cell.parse(name)
    quantized = Manifest.read(results / "quantized" / name)
    if (held := quantized.get("settings", "name")) != cell.precision:
        raise InputError(f"{quantized.path}: of {held}, not {cell.precision}; quantize it again")
    if quantized.get("status") == DIVERGED:
        return f"The training of {name} diverged: this folder has no model.\n"
    weights = {n: f for n, f in quantized.get("outputs").items() if n.endswith(".safetensors")}
    if not weights or quantized.get("status") != "ok":
        raise InputError(f"{quantized.path}: no weights in its outputs; quantize it again")
    precision, lineage = Precision.parse(cell.precision), trace(results, cell, quantized)
    method = method_of(precision)
    if cell.objective not in REFERENCES and lineage["trained"] is None:
        Manifest.read(results / "unlearned" / cell.corpus / cell.model)
    others = [reference for reference in REFERENCES if reference != cell.objective]
    made = {"quantized": quantized, "weights": weights, "method": method, "precision": precision}
    made |= {"lineage": lineage, "unlearning": _unlearning(cell, lineage["trained"])}
    return fill(
        "card.md.j2",
        name=name,
        experiment=results.name,
        cell=cell,
        deployed=("none", *LINES),
        **made,
        others=others,
        cells=[cell, *(_reference(scores, cell, reference) for reference in others)],
        score=partial(_score, scores),
        reversions=[(m, s) for (at, m), s in scores.items() if at == cell and m in REVERSIONS],
        shown=_shown,
    )


def _unlearning(cell: Cell, trained: Manifest | None) -> tuple[str, dict[str, object]] | None:
    """The objective in words, and the settings that the cell's unlearning used."""
    if trained is None:
        return None
    objective = Objective.parse(cell.objective)
    unused = [] if origin(cell.adapter) == "lora" else ["rank", "lora_alpha", "dropout"]
    settings = {"seed": trained.get("seed"), **trained.get("settings")}
    used = {k: v for k, v in settings.items() if k not in {*unused, *objective.unused}}
    return objective.describe(), used


def _reference(scores: Scores, cell: Cell, name: str) -> Cell:
    """Target or retrain in the cell's precision: the one of all seeds, or that of the cell's."""
    common = Cell(cell.corpus, name, "none", None, cell.precision)
    own = replace(common, seed=cell.seed)
    return own if (own, "verbmem") in scores else common


def _score(scores: Scores, cell: Cell, metric: str) -> Summary:
    score = scores.get((cell, metric))
    if score is None or score.absent == DIVERGED:
        state = "missing" if score is None else "'diverged', though the model has weights"
        model = f"{cell.corpus}/{cell.model}/{cell.precision}"
        raise InputError(f"metrics: {metric} of {model} is {state}; collect the metrics again")
    return score


def _shown(score: Summary, metric: str) -> str:
    """`17.2 [13.1, 21.4]`."""
    if score.numbers is None:
        return score.absent
    form = "{:z.2f}".format if metric in REVERSIONS else partial(number, metric)  # mostly 0 to 1
    value, low, high = map(form, score.numbers)
    return f"{value} [{low}, {high}]"
