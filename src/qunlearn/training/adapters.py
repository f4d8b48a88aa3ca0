"""The variants of the update: which weights are trained, and in which precision they are kept.

* `full`: every weight, fp32 masters, bf16 autocast: what the paper does.
* `full_bf16`: every weight, kept in bf16 without a master copy: what muse_bench does. An update
  below half a unit in the last place is lost, so that mostly small weights move.
* `full_sr`: the same with stochastic rounding (`rounding`), which loses none on average.
* `lora`: fp32 low-rank matrices beside every linear layer but the head; all else is frozen.
  `models.checkpoints.load_dense` merges them, in fp32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from transformers import PreTrainedModel, set_seed

from qunlearn.settings.fixed import LORA_LAYERS
from qunlearn.settings.unlearning import IN_BF16, Adapter, UnlearnSettings

if TYPE_CHECKING:
    from peft import PeftModel


def weight_dtype(adapter: Adapter) -> torch.dtype:
    """The dtype that the trained checkpoint is loaded and kept in."""
    return torch.bfloat16 if adapter in IN_BF16 else torch.float32


def with_adapter(
    model: PreTrainedModel, adapter: Adapter, settings: UnlearnSettings, seed: int
) -> PreTrainedModel | PeftModel:
    """The model to be trained: itself, or under new LoRA matrices."""
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
            target_modules=LORA_LAYERS.get(settings.targets, "all-linear"),
            bias="none",
            task_type="CAUSAL_LM",
        ),
    )
    for config in lora.peft_config.values():
        # peft has them in a set, and writes a set's order, another one in each process.
        config.target_modules = sorted(config.target_modules)
    return lora


def narrow_frozen(model: nn.Module, dtype: torch.dtype) -> None:
    """Hold frozen linear weights in `dtype` from now on, where it holds them exactly.

    Under autocast a linear layer multiplies in bf16. Of a trained weight autocast keeps the bf16
    copy for the whole update; of a frozen one it makes a copy in each forward pass, and each is
    kept for the backward pass: at 7B, 13 GB twice beside 27 GB in fp32. Checkpoints are released in
    bf16, so that the copy can take the weight's place, and the numbers stay what they were, bit for
    bit.

    Weights that `dtype` does not hold exactly, and those that are more than a linear layer's (tied
    embeddings), are left alone.
    """
    embeddings = {id(part.weight) for part in model.modules() if isinstance(part, nn.Embedding)}
    linear = [part.weight for part in model.modules() if isinstance(part, nn.Linear)]
    for weight in linear:
        if not weight.requires_grad and id(weight) not in embeddings:
            narrow = weight.data.to(dtype)
            if torch.equal(narrow.to(weight.dtype), weight.data):
                weight.data = narrow
