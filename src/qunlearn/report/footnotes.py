"""The notes below the tables: how models were trained, quantized and evaluated, and on what."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from qunlearn.analysis.summary import distinct
from qunlearn.experiment import sweep as grids
from qunlearn.experiment.config import Json, unlearn_settings
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name
from qunlearn.models import sources
from qunlearn.quantize.method import method_of
from qunlearn.report.templates import notes
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST


def footnotes(config: Json) -> list[str]:
    """How the models of an experiment were made and evaluated: sentences below its table."""
    used = [each for corpus in config["corpora"] for each in sources.used(config, corpus).items()]
    return notes(
        "footnotes.md.j2",
        loras=[own for *_, own in _cells(config, "lora") if own]
        if "lora" in config["unlearn"]["adapters"]
        else [],
        rates=learning_rates(config),
        methods=[method_of(name).footnote(config["quantization"]) for name in config["precisions"]],
        gguf=[(name, source.value) for name, source in used if source.kind == "gguf"],
        prompt=config["evaluate"]["prompt"],
    )


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


def learning_rates(config: Json) -> str:
    """The learning rate of each variant, and that its numbers hold for that rate alone."""
    rates = []
    for adapter in config["unlearn"]["adapters"]:
        cells: dict[str, list[str]] = {}
        for corpus, objective, own in _cells(config, adapter):
            rate = f"{own['lr']:g}" if own else "chosen from a grid"
            cells.setdefault(rate, []).append(f"{corpus_name(corpus)} {method_name(objective)}")
        shown = [
            lr if len(cells) == 1 else f"{lr} ({', '.join(names)})" for lr, names in cells.items()
        ]
        rates.append(f"{adapter_name(adapter)} {', '.join(shown)}")
    return (
        f"Learning rates: {'; '.join(rates)}. How much of an update a grid takes back depends on "
        "the rate, most of all with bf16 weights (docs/mechanism.md); at another, other grids may."
    )


def _cells(config: Json, adapter: str) -> Iterator[tuple[str, str, Json | None]]:
    """Corpus, objective and settings of each cell of a variant; None where they are swept."""
    for corpus in config["corpora"]:
        for objective in config["unlearn"]["objectives"]:
            cell = f"{corpus}/{objective}/{adapter}"
            swept, own = grids.grid_of(config["sweep"], cell), unlearn_settings(config, cell)
            yield corpus, objective, None if swept else own
