"""The variants of the update: which weights are trained, and in which precision they are kept.

* `full`: every weight, fp32 masters, bf16 autocast: what the paper does.
* `full_bf16`: every weight, kept in bf16 without a master copy: what muse_bench does. An update
  below half a unit in the last place is lost, so that mostly small weights move.
* `lora`: fp32 low-rank matrices beside every linear layer but the head; all else is frozen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel, set_seed

from qunlearn.models.checkpoints import load_model
from qunlearn.run.errors import InputError
from qunlearn.settings.fixed import LORA_LAYERS
from qunlearn.settings.unlearning import Adapter, Targets, UnlearnSettings
from qunlearn.training.losses import suit_attention
from qunlearn.training.reference import to_device
from qunlearn.training.rows import collate

if TYPE_CHECKING:
    from peft import PeftModel


def weight_dtype(adapter: Adapter) -> torch.dtype:
    """The dtype that the trained checkpoint is loaded and kept in."""
    return torch.bfloat16 if adapter == "full_bf16" else torch.float32


def with_adapter(
    model: PreTrainedModel, adapter: Adapter, settings: UnlearnSettings, seed: int
) -> PreTrainedModel | PeftModel:
    """The model to be trained: itself, or under new LoRA matrices.

    Raises:
        InputError: the model has no layers of the names that `settings.targets` stands for.
    """
    if adapter != "lora":
        return model
    from peft import LoraConfig, get_peft_model  # a second to import: only where it is used

    set_seed(seed)
    lora = get_peft_model(
        model,
        LoraConfig(
            r=settings.rank,
            lora_alpha=settings.lora_alpha,  # type: ignore[arg-type]
            lora_dropout=settings.dropout,
            target_modules=_layers(model, settings.targets),
            bias="none",
            task_type="CAUSAL_LM",
        ),
    )
    for config in lora.peft_config.values():
        # peft has them in a set, and writes a set's order, another one in each process.
        config.target_modules = sorted(config.target_modules)
    return lora


def _layers(model: PreTrainedModel, targets: Targets) -> str | list[str]:
    """What peft is to be told."""
    if targets == "all":
        return "all-linear"
    present = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    if missing := [name for name in LORA_LAYERS[targets] if name not in present]:
        raise InputError(
            f"targets {targets}: the model has no layers named {', '.join(missing)}; "
            "use targets all"
        )
    return LORA_LAYERS[targets]


@contextmanager
def narrow_frozen(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Hold frozen linear weights in `dtype` inside, where it holds them exactly; they are as they
    were afterwards.

    Under autocast a linear layer multiplies in bf16. Of a trained weight autocast keeps the bf16
    copy for the whole update; of a frozen one it makes a copy in each forward pass, and each is
    kept for the backward pass: at 7B, 13 GB twice beside 27 GB in fp32. Checkpoints are released in
    bf16, so that the copy can take the weight's place, and the numbers stay what they were, bit for
    bit.

    Weights that `dtype` does not hold exactly, and those that are more than a linear layer's (tied
    embeddings), are left alone.
    """
    shared = _weights(model, nn.Embedding)
    narrowed: list[tuple[nn.Parameter, torch.dtype]] = []
    for weight in _weights(model, nn.Linear) - shared:
        kept = weight.dtype
        if weight.requires_grad or kept == dtype:
            continue
        narrow = weight.data.to(dtype)
        if torch.equal(narrow.to(kept), weight.data):
            weight.data = narrow
            narrowed.append((weight, kept))
    try:
        yield
    finally:
        for weight, kept in narrowed:
            weight.data = weight.data.to(kept)


def _weights(model: nn.Module, kind: type[nn.Module]) -> set[nn.Parameter]:
    return {
        weight
        for module in model.modules()
        if isinstance(module, kind)
        for weight in module.parameters(recurse=False)
        if weight.ndim == 2
    }


def read_adapter(target: Path, folder: Path, device: torch.device) -> PeftModel:
    """The adapter in `folder` over a fresh target, as it was when it was trained."""
    from peft import PeftModel

    model = load_model(target, torch.float32).to(device)  # type: ignore[arg-type]
    suit_attention(model, device)
    return PeftModel.from_pretrained(model, str(folder), local_files_only=True)


def merge(model: PeftModel, rows: Sequence[Sequence[int]], pad: int) -> dict[str, float]:
    """Merge the adapter into the fp32 weights in place; say how far the logits moved.

    Args:
        rows: a few rows of token ids on which both forms are compared.

    Returns:
        max_abs: the largest difference of a logit; relative: ||difference|| / ||logits||.
    """
    device = next(model.parameters()).device
    batch = to_device(collate(rows, pad), device)
    inputs = {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}
    model.eval()
    with torch.no_grad():
        apart = model(**inputs).logits
        merged = model.merge_and_unload()(**inputs).logits
    difference = (merged - apart)[batch["attention_mask"].bool()]
    return {
        "max_abs": difference.abs().max().item(),
        "relative": (difference.norm() / apart[batch["attention_mask"].bool()].norm()).item(),
    }
