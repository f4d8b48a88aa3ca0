"""The notes below the tables: how models were trained, quantized and evaluated, and on what."""

from collections.abc import Iterable
from pathlib import Path

from qunlearn.experiment import sweep as grids
from qunlearn.experiment.config import Json, unlearn_settings
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name
from qunlearn.models import sources
from qunlearn.quantize.method import method_of
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

_LAYERS = {
    "all": "all linear layers",
    "qv": "queries and values",
    "odu": "output, down and up projections",
}
_PROMPTS = {
    "muse": "KnowMem and Utility use the benchmark's prompt and its way of reading answers.",
    "plain": "KnowMem and Utility use a prompt without the space that ends the benchmark's, so "
    "they cannot be compared with published numbers.",
}


def footnotes(config: Json) -> list[str]:
    """How the models of an experiment were made and evaluated: sentences below its table."""
    notes = []
    for corpus in config["corpora"]:
        for objective in config["unlearn"]["objectives"]:
            swept = grids.grid_of(config["sweep"], f"{corpus}/{objective}/lora")
            if "lora" in config["unlearn"]["adapters"] and not swept:
                lora = unlearn_settings(config, corpus, objective, "lora")
                notes.append(
                    f"LoRA on {_LAYERS[lora['targets']]}: rank {lora['rank']}, alpha "
                    f"{lora['lora_alpha']:g}, dropout {lora['dropout']:g}; merged in float32."
                )
    notes.append(learning_rates(config))
    for name in config["precisions"]:
        if note := method_of(name).footnote(config["quantization"]):
            notes.append(note)
    for corpus in config["corpora"]:
        for name, source in sources.used(config, corpus).items():
            if source.kind == "gguf":
                notes.append(
                    f"The {name} is {source.value}, dequantized: its weights had already been "
                    "quantized, so its bf16 differs from that of the model as trained."
                )
    notes.append("Embeddings, norms and lm_head are never quantized.")
    notes.append(_PROMPTS[config["evaluate"]["prompt"]])
    return list(dict.fromkeys(notes))


def corpus_notes(folders: Iterable[Path]) -> list[str]:
    """What the lists of each corpus have in common: sentences below the experiment's table.

    Args:
        folders: of the corpora, as the workflow wrote them.

    Raises:
        InputError: a folder has no manifest.
    """
    return [
        f"{corpus_name(folder.name)}: {overlap}."
        for folder in folders
        for overlap in read_json(folder / MANIFEST).get("overlaps", [])
    ]


def learning_rates(config: Json) -> str:
    """The learning rate of each variant, and that its numbers hold for that rate alone."""
    rates = []
    for adapter in config["unlearn"]["adapters"]:
        cells: dict[str, list[str]] = {}
        for corpus in config["corpora"]:
            for objective in config["unlearn"]["objectives"]:
                swept = grids.grid_of(config["sweep"], f"{corpus}/{objective}/{adapter}")
                lr = unlearn_settings(config, corpus, objective, adapter)["lr"]
                names = cells.setdefault("chosen from a grid" if swept else f"{lr:g}", [])
                names.append(f"{corpus_name(corpus)} {method_name(objective)}")
        shown = [
            lr if len(cells) == 1 else f"{lr} ({', '.join(names)})" for lr, names in cells.items()
        ]
        rates.append(f"{adapter_name(adapter)} {', '.join(shown)}")
    return (
        f"Learning rates: {'; '.join(rates)}. How much of an update a grid takes back depends on "
        "the rate, most of all with bf16 weights (docs/mechanism.md); at another, other grids may."
    )
