"""The notes below the tables: how models were trained, quantized and evaluated, and on what."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from qunlearn.analysis.summary import distinct
from qunlearn.experiment import sweep as grids
from qunlearn.experiment.config import Json, unlearn_settings
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name
from qunlearn.experiment.names import REFERENCES, Cell
from qunlearn.models import sources
from qunlearn.quantize.method import method_of
from qunlearn.report.templates import fill, notes
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

_TRAINING = ("train_base", "finetune", "unlearn", "match_norm")


def footnotes(config: Json) -> list[str]:
    """How the models of an experiment were made and evaluated: sentences below its table."""
    used = [each for corpus in config["corpora"] for each in sources.used(config, corpus).items()]
    loras = _cells(config, "lora") if "lora" in config["unlearn"]["adapters"] else ()
    methods = [method_of(name).footnote(config["quantization"]) for name in config["precisions"]]
    words = {"rates": learning_rates(config), "prompt": config["evaluate"]["prompt"]}
    words |= {"loras": [own for *_, own in loras if own], "methods": methods}
    words["gguf"] = [(name, source.value) for name, source in used if source.kind == "gguf"]
    return notes("footnotes.md.j2", **words)


def recorded(folder: Path, names: Iterable[str], key: str) -> list[str]:
    """What manifests record in words: sentences below the experiment's table, each once.

    Args:
        folder: of the corpora or the evaluations.
        names: of those in it, a corpus or a cell.
        key: `overlaps` of a corpus's lists, or `shortfalls` of what was not evaluated in full.

    Raises:
        InputError: a folder has no manifest.
    """
    return distinct(
        f"{corpus_name(name.partition('/')[0])}: {line}."
        for name in names
        for line in read_json(folder / name / MANIFEST).get(key, [])
    )


def processors(results: Path, cells: Sequence[str]) -> str:
    """`trained on AMD EPYC (AVX2), evaluated on H100 (bfloat16)`; empty where no manifest says it.

    The manifest of a model that was not kept is in `records/`.

    Args:
        results: the experiment's folder.
        cells: `<corpus>/<model id>/<precision>` each.

    Raises:
        InputError: a manifest does not parse.
    """
    parsed = [Cell.parse(name) for name in cells]
    folders = [f"models/{cell.corpus}/base" for cell in parsed]
    folders += [
        f"{'models' if cell.objective in REFERENCES else 'unlearned'}/{cell.corpus}/{cell.model}"
        for cell in parsed
    ]
    folders += [f"eval/{name}" for name in cells]
    steps = dict.fromkeys(_TRAINING, "trained") | {"evaluate": "evaluated"}
    names: dict[str, list[str]] = {"trained": [], "evaluated": []}
    for folder in distinct(folders):
        for file in (results / folder / MANIFEST, results / "records" / folder / MANIFEST):
            made = read_json(file) if file.is_file() else {}
            if step := steps.get(made.get("step", "")):
                # On a GPU there are no `instructions`, and its evaluations have a `dtype`.
                device, how = made.get("device"), made.get("instructions") or made.get("dtype")
                names[step].append(f"{device} ({how})" if how else str(device))
    shown = {step: " and ".join(distinct(own)) for step, own in names.items() if own}
    if len(shown) == 2 and shown["trained"] == shown["evaluated"]:
        return f"trained and evaluated on {shown['trained']}"
    return ", ".join(f"{step} on {own}" for step, own in shown.items())


def learning_rates(config: Json) -> str:
    """The learning rate of each variant, and that its numbers hold for that rate alone."""
    rates: dict[str, dict[str, list[str]]] = {}
    for adapter in config["unlearn"]["adapters"]:
        cells = rates.setdefault(adapter_name(adapter), {})
        for corpus, objective, own in _cells(config, adapter):
            rate = f"{own['lr']:g}" if own else "chosen from a grid"
            cells.setdefault(rate, []).append(f"{corpus_name(corpus)} {method_name(objective)}")
    return fill("learning_rates.md.j2", rates=rates).strip()


def _cells(config: Json, adapter: str) -> Iterator[tuple[str, str, Json | None]]:
    """Corpus, objective and settings of each cell of a variant; None where they are swept."""
    for corpus in config["corpora"]:
        for objective in config["unlearn"]["objectives"]:
            cell = f"{corpus}/{objective}/{adapter}"
            swept, own = grids.grid_of(config["sweep"], cell), unlearn_settings(config, cell)
            yield corpus, objective, None if swept else own
