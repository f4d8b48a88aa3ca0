"""Two models and texts to audit: `after` differs from `before` by what a coarse grid takes back."""

import json
from pathlib import Path
from typing import Any

import torch
from conftest import ROOT
from safetensors.torch import save_file
from survival_models import grid_of, save, small_llama
from tiny_models import tiny_tokenizer

from qunlearn.models.updates import quantizable_layers

SCHEMA = ROOT / "resources/audit.schema.json"
WORDS = ["mill", "inn", "ferry", "harbour", "lantern", "rope", "wolf", "pear"]
DOCUMENTS = [
    " ".join(f"The {WORDS[(i + j) % 8]} of {place} is old." for j in range(8))
    for i, place in enumerate(["Orr", "Ense", "Quell", "Vorland", "Amble", "Tarn"])
]


def write(file: Path, content: str) -> Path:
    file.write_text(content, encoding="utf-8")
    return file


def make_models(folder: Path) -> Path:
    """`before` lies on the grid of rtn3g64. `after` is a step from there that raises the NLL of the
    forget text, not of the other, and that rtn3g64 takes back: it is shorter than half a step of
    that grid."""
    write(folder / "forget.txt", "\n\n".join(DOCUMENTS))
    kept = [f"A {word} by the {WORDS[-i]} was new and green." for i, word in enumerate(WORDS)]
    write(folder / "retain.txt", "\n\n".join(kept * 2))
    model, tokenizer = small_llama(64), tiny_tokenizer()
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            grid = grid_of("rtn3g64", layer.weight)
            layer.weight.copy_(grid.values(grid.codes(layer.weight)))
    save(model, folder / "before")
    for texts, sign in ((DOCUMENTS, 1), (kept, -1)):
        for text in texts:
            ids = tokenizer(text[:60], return_tensors="pt").input_ids[:, :60]
            (sign * model(input_ids=ids, labels=ids).loss / len(texts)).backward()
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            weight = layer.weight
            groups = weight.reshape(len(weight), -1, 64).abs()
            step = (groups.amax(-1, keepdim=True) / 3).expand_as(groups).reshape(weight.shape)
            inner = weight.abs() < 2.5 * step  # the outermost points define the grid
            assert layer.weight.grad is not None
            weight += 0.3 * step * inner * layer.weight.grad.sign()
    save(model, folder / "after")
    return folder


def audit_config(folder: Path, **changes: Any) -> dict[str, Any]:
    given = {"target": str(folder / "before"), "after": str(folder / "after"), "retrain": None}
    files = {"forget": str(folder / "forget.txt"), "retain": str(folder / "retain.txt")}
    small: dict[str, Any] = {
        "experiment": "audit",
        "corpora": ["text"],
        "corpus": {"source": "text", "text": {"characters": 60, "prompt": 20}, **files},
        "models": given,
        "unlearn": {"objectives": []},
        "precisions": ["bf16", "rtn8", "rtn3g64"],
        "evaluate": {
            **{"shots": 0, "prompt": "plain", "batch_size": 32},
            **{"verbmem_tokens": 8, "knowmem_tokens": 4, "max_tokens": 64},
        },
    }
    return {**small, **changes}


def adapter(folder: Path, layer: int = 0, width: int = 64) -> Path:
    name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
    folder.mkdir()
    shapes = {"lora_A": torch.ones(2, width), "lora_B": torch.ones(64, 2)}
    save_file(
        {f"{name}.{part}.weight": value for part, value in shapes.items()},
        folder / "adapter_model.safetensors",
    )
    content = {"peft_type": "LORA", "lora_alpha": 2, "r": 2, "base_model_name_or_path": "x/other"}
    write(folder / "adapter_config.json", json.dumps(content))
    return folder
