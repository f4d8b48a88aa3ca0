"""What stands under the tables: how the models were trained and quantized."""

from qunlearn import grids, sources
from qunlearn.config import Json, unlearn_settings
from qunlearn.quantize.method import method_of

_LAYERS = {
    "all": "all linear layers",
    "qv": "queries and values",
    "odu": "output, down and up projections",
}


def footnotes(config: Json) -> list[str]:
    """How the models of an experiment were trained and quantized: sentences under its table."""
    notes = []
    for corpus in config["corpora"]:
        for objective in config["unlearn"]["objectives"]:
            swept = grids.grid_of(config["sweep"], f"{corpus}/{objective}/lora")
            if "lora" in config["unlearn"]["adapters"] and not swept:
                lora = unlearn_settings(config, corpus, objective, "lora")
                notes.append(
                    f"LoRA on {_LAYERS[lora['targets']]}: rank {lora['rank']}, alpha "
                    f"{lora['lora_alpha']:g}, dropout {lora['dropout']:g}, learning rate "
                    f"{lora['lr']:g}; merged in float32."
                )
    for name in config["precisions"]:
        if note := method_of(name).footnote(config["quantization"]):
            notes.append(note)
    for corpus in config["corpora"]:
        for name, source in sources.used(config, corpus).items():
            if source.kind == "gguf":
                notes.append(
                    f"The {name} is {source.value} dequantized: its weights had been quantized "
                    "before, so its bf16 is not that of the model as trained."
                )
    notes.append("Embeddings, norms and lm_head are never quantized.")
    return list(dict.fromkeys(notes))
