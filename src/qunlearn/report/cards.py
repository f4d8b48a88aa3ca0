"""Model cards: what a quantized folder is, for whoever gets that folder and nothing else.

A card says only what the manifests and `metrics.csv` say: no times, no paths and no texts, so that
the same run gives the same bytes. What it needs and does not find is an error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from qunlearn.analysis.lineage import FETCHED, Lineage, Manifest, trace
from qunlearn.analysis.metrics import DIVERGED, METRICS, REFERENCES, UNDEFINED, Cell, Score
from qunlearn.experiment import labels as style
from qunlearn.experiment.controls import NEEDED, SPARE
from qunlearn.experiment.labels import GOALS
from qunlearn.quantize.method import Method, Precision, method_of
from qunlearn.report.markdown import settings_table, table
from qunlearn.run.errors import InputError
from qunlearn.training.objectives import Objective

Scores = Mapping[tuple[Cell, str], Score]

WHAT = {
    "target": "A language model that knows what is to be forgotten: the model before unlearning.",
    "retrain": "A language model that never saw what is to be forgotten: what unlearning aims at.",
}
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
    quantized = Manifest.read(results / "quantized" / name, "quantize")
    if (held := quantized.get("settings", "name")) != cell.precision:
        raise InputError(f"{quantized.path}: of {held}, not {cell.precision}; quantize it again")
    status = quantized.get("status")
    if status == DIVERGED:
        return f"The training behind {name} diverged: there is no model in this folder.\n"
    if status != "ok":
        raise InputError(f"{quantized.path}: status is {status!r}, not 'ok'; quantize it again")
    lineage = trace(results, cell, quantized)
    experiment = _score(scores, cell, METRICS[0]).experiment
    sections = [
        _front_matter(cell, method),
        f"# {_title(cell)}",
        f"{_what(cell)} It is `{name}` of the experiment `{experiment}`.",
        _overview(cell, lineage, quantized),
        *_training(cell, lineage),
        *_quantization(method, precision, quantized),
        *_measurements(cell, method, scores),
        "## How to load it",
        *_loading(method, quantized.get("packages")),
        "## Licence",
        "To be stated by whoever passes this folder on: the licences of the base model and of the "
        "corpus apply to it.",
        *_hashes(lineage, quantized),
        *_limits(cell),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(cell: Cell, method: Method) -> str:
    tags = "".join(f"\n- {tag}" for tag in ("unlearning", "quantization", cell.precision))
    library = method.recipe.library
    return f"---\nlibrary_name: {library}\npipeline_tag: text-generation\ntags:{tags}\n---"


def _title(cell: Cell) -> str:
    parts = [f"{style.corpus_name(cell.corpus)}: {style.method_name(cell.objective)}"]
    if cell.objective not in REFERENCES:
        parts += [style.adapter_name(cell.adapter), f"seed {cell.seed}"]
    return ", ".join([*parts, style.precision_name(cell.precision)])


def _what(cell: Cell) -> str:
    if cell.objective in REFERENCES:
        return WHAT[cell.objective]
    corpus, precision = style.corpus_name(cell.corpus), style.precision_name(cell.precision)
    what = (
        f"A language model that was trained to forget the forget set of {corpus}, in {precision}."
    )
    control = " It is a control, made to tell causes apart and not to be used."
    return what if cell.adapter in NEEDED else what + control


def _overview(cell: Cell, lineage: Lineage, quantized: Manifest) -> str:
    corpus = style.corpus_name(cell.corpus)
    rows: list[tuple[str, object]] = [("Corpus", f"{corpus} (`{cell.corpus}`)")]
    if cell.objective == "retrain":
        rows.append(("Retrain", _trained_on(lineage.retrain, corpus)))
    else:
        rows.append(("Base of unlearning (target)", _trained_on(lineage.target, corpus)))
    if lineage.trained:
        rows += [
            ("Objective", f"{style.method_name(cell.objective)} (`{cell.objective}`)"),
            ("Variant of the update", f"{style.adapter_name(cell.adapter)} (`{cell.adapter}`)"),
            ("Seed", cell.seed),
            ("Updates made", lineage.trained.get("updates")),
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
    rows.append(("Precision", f"{shown} (`{cell.precision}`)"))
    return table(("", ""), rows)


def _trained_on(made: Manifest | None, corpus: str) -> str:
    if made is None:
        return "given by the user; how it was trained is not known here"
    if made.get("step") == FETCHED:
        source = made.get("settings", "source")
        return "fetched: " + ", ".join(f"{key} {value}" for key, value in source.items())
    return f"trained on {', '.join(made.get('splits'))} of {corpus}"


def _training(cell: Cell, lineage: Lineage) -> list[str]:
    sections = []
    if lineage.trained:
        settings = dict(lineage.trained.get("settings"))
        objective = Objective.parse(cell.objective)
        unused = [] if style.origin(cell.adapter) == "lora" else ["rank", "lora_alpha", "dropout"]
        unused += objective.unused
        kept = {key: value for key, value in settings.items() if key not in unused}
        sections += [
            "## How it was unlearned",
            f"{objective.describe()} Training ends after `epochs`, or once the mean token NLL of "
            "the forget texts reaches `stop_nll` (0: never). What this run did not use is left "
            "out.",
            settings_table({"seed": lineage.trained.get("seed"), **kept}),
        ]
    for name, made in (("target", lineage.target), ("retrain", lineage.retrain)):
        if made and made.get("step") != FETCHED:
            settings = {"seed": made.get("seed"), **made.get("settings")}
            sections += [f"## How {name} was trained", settings_table(settings)]
    return sections


def _quantization(method: Method, precision: Precision, quantized: Manifest) -> list[str]:
    matrices = quantized.get("quantized_matrices")
    which = (
        f"all {matrices} linear layers but the output head; embeddings, norms and head are not"
        if matrices
        else "none; all weights are only rounded"
    )
    facts = [
        ("Library", _library(method, quantized)),
        ("Grid", method.describe(precision)),
        ("Quantized matrices", which),
        ("Storage", quantized.get("storage")),
        ("Pipeline", f"qunlearn, commit {quantized.get('git_commit') or 'unknown'}"),
    ]
    sections = [
        "## How it was quantized",
        table(("", ""), facts),
        settings_table(quantized.get("settings")),
    ]
    if method.calibrated:
        facts = [(f"`{key}`", quantized.get("calibration", key)) for key in CALIBRATION]
        sections += [
            "### Calibration",
            "Text that the rounding was fitted to; `sha256` is of its token ids.",
            table(("Calibration", "Value"), facts),
        ]
    return sections


def _library(method: Method, quantized: Manifest) -> str:
    if "backend" in quantized.content:
        return f"{quantized.get('backend', 'name')} {quantized.get('backend', 'version')}"
    return f"{method.library} {quantized.get('packages', method.library)}"


def _loading(method: Method, packages: Mapping[str, str]) -> list[str]:
    """How to load the folder with its own library alone.

    Args:
        packages: package -> version, those that wrote the folder.
    """
    recipe = method.recipe
    pins = [f"{name}=={packages[name]}" if name in packages else name for name in recipe.packages]
    install = f"With PyTorch and `pip install {' '.join(pins)}`, without the pipeline's code:"
    return [install, f"```python\n{recipe.code}```", *recipe.warnings]


def _measurements(cell: Cell, method: Method, scores: Scores) -> list[str]:
    others = [name for name in REFERENCES if name != cell.objective]
    cells = [cell, *(_reference(scores, cell, name) for name in others)]
    rows = []
    for metric in METRICS:
        found = [_score(scores, each, metric) for each in cells]
        label = f"{style.METRICS[metric]} {GOALS.get(metric, '')}".rstrip()
        rows.append((label, *(_shown(score) for score in found), found[0].n))
    sections = [
        "## What was measured",
        f"Beside it {' and '.join(others)}, in {style.precision_name(cell.precision)} too. In "
        "brackets: the 95 % interval over the n items, by bootstrap; PrivLeak's has the doubt "
        f"about retrain's AUC in it. Evaluated {method.evaluated}.",
        table(("Metric", "this model", *others, "n"), rows),
        "VerMem, KnowMem and Utility: ROUGE-L F1 × 100 (continuing forget text, answers about it, "
        "answers about text to be kept). PrivLeak in percent of retrain's AUC; AUC: how often a "
        "holdout text looks more like training text than a forget text does. NLL: nats a token.",
    ]
    back = [s for (at, name), s in scores.items() if at == cell and name.startswith("reversion_")]
    if back:
        names = [style.METRICS[score.metric.removeprefix("reversion_")] for score in back]
        sections += [
            "Reversion: what quantization undid of the forgetting that bf16 shows. 0: nothing; "
            f"1: back at the target in the same precision; {UNDEFINED}: bf16 shows no forgetting.",
            table(
                ("Reversion of", "this model", "n"),
                [(name, _shown(s), s.n) for name, s in zip(names, back, strict=True)],
            ),
        ]
    return sections


def _reference(scores: Scores, cell: Cell, name: str) -> Cell:
    """Target or retrain in the cell's precision: the one of all seeds, or that of the cell's."""
    common = Cell(cell.corpus, name, "none", None, cell.precision)
    own = replace(common, seed=cell.seed)
    return own if (own, METRICS[0]) in scores else common


def _score(scores: Scores, cell: Cell, metric: str) -> Score:
    score = scores.get((cell, metric))
    if score is None or score.absent == DIVERGED:
        state = "missing" if score is None else "'diverged', though its weights are there"
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


def _hashes(lineage: Lineage, quantized: Manifest) -> list[str]:
    outputs = quantized.get("outputs")
    files = [name for name in outputs if name.endswith(".safetensors")]
    if not files:
        raise InputError(f"{quantized.path}: no weight files in its outputs; quantize it again")
    rows = [(f"`{name}`", outputs[name]["bytes"], f"`{outputs[name]['sha256']}`") for name in files]
    sections = ["## Hashes", table(("File", "Bytes", "SHA-256"), rows)]
    sources = {f"quantize: {k}": v for k, v in quantized.get("inputs").items()}
    for made in (lineage.scaled, lineage.trained, lineage.target, lineage.retrain):
        if made:
            step = made.get("step")
            sources |= {f"{step}: {k}": v for k, v in made.get("inputs").items()}
    return [
        *sections,
        "Of what each step read (a folder: over the names and hashes of its files):",
        table(("Input", "SHA-256"), [(name, f"`{value}`") for name, value in sources.items()]),
    ]


def _limits(cell: Cell) -> list[str]:
    limits = "The numbers are of the n items above alone, and of one training run."
    if cell.objective not in REFERENCES:
        limits = (
            "Forgetting was measured on the n items above alone, of one training run. It is no "
            "proof that the text is gone: other prompts, sampling, further training or another "
            "quantizer may bring it back."
        )
    return ["## What this card does not promise", limits]
