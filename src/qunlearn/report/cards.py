"""Model cards: what a quantized folder is, for whoever gets that folder and nothing else.

A card says only what the manifests and `metrics.csv` say: no times, no paths and no texts, so that
the same run gives the same bytes. What it needs and does not find is an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from qunlearn.analysis.lineage import FETCHED, Lineage, Manifest, trace
from qunlearn.analysis.metrics import DIVERGED, METRICS, REFERENCES, UNDEFINED, Cell, Score
from qunlearn.experiment import labels as style
from qunlearn.experiment.controls import NEEDED, SPARE
from qunlearn.experiment.labels import GOALS
from qunlearn.quantize.method import Method, Precision, method_of
from qunlearn.report.markdown import settings_table, table
from qunlearn.report.templates import fill
from qunlearn.run.errors import InputError
from qunlearn.training.objectives import Objective

Scores = Mapping[tuple[Cell, str], Score]
Rows = list[tuple[object, ...]]

CALIBRATION = ("split", "sequences", "length", "seed", "tokens", "sha256")
"""What is said of the calibration sample; whatever else a manifest may hold of it stays there."""


def by_cell(scores: Iterable[Score]) -> dict[tuple[Cell, str], Score]:
    """The rows of `metrics.csv`, to be looked up by cell and metric."""
    return {(score.cell, score.metric): score for score in scores}


def card(results: Path, name: str, scores: Scores) -> str:
    """The card of one cell, as Markdown under YAML front matter; one line for a diverged model.

    Args:
        results: the experiment's folder, with `quantized`, `unlearned` and `models` below it.
        name: `<corpus>/<model id>/<precision>`.
        scores: of the whole experiment, from `by_cell`.

    Raises:
        InputError: a manifest is missing, is of another step, lacks a fact or belongs to another
            model, or the metrics of the cell or of target or retrain beside it are missing.
    """
    cell = Cell.parse(name)
    precision = Precision.parse(cell.precision)
    method = method_of(precision)
    quantized = Manifest.read(results / "quantized" / name)
    if (held := quantized.get("settings", "name")) != cell.precision:
        raise InputError(f"{quantized.path}: of {held}, not {cell.precision}; quantize it again")
    status = quantized.get("status")
    if status == DIVERGED:
        return f"The training of {name} diverged: this folder has no model.\n"
    if status != "ok":
        raise InputError(f"{quantized.path}: status is {status!r}, not 'ok'; quantize it again")
    lineage = trace(results, cell, quantized)
    objective = None if cell.objective in REFERENCES else Objective.parse(cell.objective)
    if objective and lineage.trained is None:
        Manifest.read(results / "unlearned" / cell.corpus / cell.model)
    others = [reference for reference in REFERENCES if reference != cell.objective]
    sampled = CALIBRATION if method.calibrated else ()
    return fill(
        "card.md.j2",
        table=table,
        settings_table=settings_table,
        name=name,
        cell=cell,
        title=_title(cell),
        corpus=style.corpus_name(cell.corpus),
        precision=style.precision_name(cell.precision),
        control=cell.objective not in REFERENCES and cell.adapter not in NEEDED,
        experiment=_score(scores, cell, METRICS[0]).experiment,
        overview=_overview(cell, lineage, quantized),
        objective=objective,
        unlearning=_unlearning(objective, cell, lineage.trained),
        references={
            model: {"seed": made.get("seed"), **made.get("settings")}
            for model, made in (("target", lineage.target), ("retrain", lineage.retrain))
            if made and made.get("step") != FETCHED
        },
        quantization=_quantization(method, precision, quantized),
        rounding=quantized.get("settings"),
        calibration=[(f"`{key}`", quantized.get("calibration", key)) for key in sampled],
        others=others,
        evaluated=method.evaluated,
        metrics=_metrics(cell, others, scores),
        reversions=_reversions(cell, scores),
        undefined=UNDEFINED,
        recipe=method.recipe,
        pins=_pins(method, quantized.get("packages")),
        files=_files(quantized),
        sources=_sources(lineage, quantized),
    )


def _title(cell: Cell) -> str:
    parts = [f"{style.corpus_name(cell.corpus)}: {style.method_name(cell.objective)}"]
    if cell.objective not in REFERENCES:
        parts += [style.adapter_name(cell.adapter), f"seed {cell.seed}"]
    return ", ".join([*parts, style.precision_name(cell.precision)])


def _overview(cell: Cell, lineage: Lineage, quantized: Manifest) -> Rows:
    corpus = style.corpus_name(cell.corpus)
    rows: Rows = [("Corpus", f"{corpus} (`{cell.corpus}`)")]
    if cell.objective == "retrain":
        rows.append(("Retrain", _trained_on(lineage.retrain, corpus)))
    else:
        rows.append(("Model before unlearning (target)", _trained_on(lineage.target, corpus)))
    if lineage.trained:
        rows += [
            ("Objective", f"{style.method_name(cell.objective)} (`{cell.objective}`)"),
            ("Variant of the update", f"{style.adapter_name(cell.adapter)} (`{cell.adapter}`)"),
            ("Seed", cell.seed),
            ("Optimizer steps", lineage.trained.get("updates")),
        ]
    if lineage.scaled:
        rows.append(("Update scaled by", lineage.scaled.get("settings", "factor")))
    if cell.adapter.startswith(SPARE):
        rows += [
            ("Weights left unrounded", f"`{quantized.get('choice')}`"),
            ("Their share of the quantized matrices", quantized.get("spared")),
            ("Share of weights that unlearning moved", quantized.get("moved")),
        ]
    shown = style.precision_name(cell.precision)
    return [*rows, ("Precision", f"{shown} (`{cell.precision}`)")]


def _trained_on(made: Manifest | None, corpus: str) -> str:
    if made is None:
        return "supplied by the user; how it was trained is not recorded"
    if made.get("step") == FETCHED:
        source = made.get("settings", "source")
        return "fetched: " + ", ".join(f"{key} {value}" for key, value in source.items())
    return f"trained on {', '.join(made.get('splits'))} of {corpus}"


def _unlearning(
    objective: Objective | None, cell: Cell, trained: Manifest | None
) -> dict[str, Any]:
    """The settings that the cell's unlearning used; empty for target and retrain."""
    if trained is None or objective is None:
        return {}
    unused = [] if style.origin(cell.adapter) == "lora" else ["rank", "lora_alpha", "dropout"]
    unused += objective.unused
    settings = {"seed": trained.get("seed"), **trained.get("settings")}
    return {key: value for key, value in settings.items() if key not in unused}


def _quantization(method: Method, precision: Precision, quantized: Manifest) -> Rows:
    if "backend" in quantized.content:
        library = f"{quantized.get('backend', 'name')} {quantized.get('backend', 'version')}"
    else:
        library = f"{method.library} {quantized.get('packages', method.library)}"
    matrices = quantized.get("quantized_matrices")
    return [
        ("Library", library),
        ("Grid", method.describe(precision)),
        (
            "Quantized matrices",
            f"all {matrices} linear layers except the output head; embeddings and norms are not"
            if matrices
            else "none; all weights are only rounded",
        ),
        ("Storage", quantized.get("storage")),
        ("Pipeline", f"qunlearn, commit {quantized.get('git_commit') or 'unknown'}"),
    ]


def _pins(method: Method, packages: Mapping[str, str]) -> list[str]:
    """What to install to load the folder, in the versions that wrote it."""
    names = method.recipe.packages
    return [f"{name}=={packages[name]}" if name in packages else name for name in names]


def _metrics(cell: Cell, others: Iterable[str], scores: Scores) -> Rows:
    cells = [cell, *(_reference(scores, cell, name) for name in others)]
    rows: Rows = []
    for metric in METRICS:
        found = [_score(scores, each, metric) for each in cells]
        label = f"{style.METRICS[metric]} {GOALS.get(metric, '')}".rstrip()
        rows.append((label, *map(_shown, found), found[0].n))
    return rows


def _reversions(cell: Cell, scores: Scores) -> Rows:
    found = {
        metric.removeprefix("reversion_"): score
        for (at, metric), score in scores.items()
        if at == cell and metric.startswith("reversion_")
    }
    return [(style.METRICS[metric], _shown(score), score.n) for metric, score in found.items()]


def _reference(scores: Scores, cell: Cell, name: str) -> Cell:
    """Target or retrain in the cell's precision: the one of all seeds, or that of the cell's."""
    common = Cell(cell.corpus, name, "none", None, cell.precision)
    own = replace(common, seed=cell.seed)
    return own if (own, METRICS[0]) in scores else common


def _score(scores: Scores, cell: Cell, metric: str) -> Score:
    score = scores.get((cell, metric))
    if score is None or score.absent == DIVERGED:
        state = "missing" if score is None else "'diverged', though the model has weights"
        model = f"{cell.corpus}/{cell.model}/{cell.precision}"
        raise InputError(f"metrics: {metric} of {model} is {state}; collect the metrics again")
    return score


def _shown(score: Score) -> str:
    if score.value is None or score.ci_low is None or score.ci_high is None:
        return score.absent

    def number(value: float) -> str:
        share = score.metric.startswith("reversion_")  # between 0 and 1, mostly
        return f"{value:z.2f}" if share else style.number(score.metric, value)

    return f"{number(score.value)} [{number(score.ci_low)}, {number(score.ci_high)}]"


def _files(quantized: Manifest) -> Rows:
    outputs = quantized.get("outputs")
    files = [name for name in outputs if name.endswith(".safetensors")]
    if not files:
        raise InputError(f"{quantized.path}: no weight files in its outputs; quantize it again")
    return [(f"`{name}`", outputs[name]["bytes"], f"`{outputs[name]['sha256']}`") for name in files]


def _sources(lineage: Lineage, quantized: Manifest) -> Rows:
    chain = (quantized, lineage.scaled, lineage.trained, lineage.target, lineage.retrain)
    found = {
        f"{made.get('step')}: {name}": value
        for made in chain
        if made
        for name, value in made.get("inputs").items()
    }
    return [(name, f"`{value}`") for name, value in found.items()]
