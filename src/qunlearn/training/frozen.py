"""Frozen linear weights in bf16 while an adapter trains, where bf16 holds them exactly.

Under autocast a linear layer multiplies in bf16. Of a trained weight autocast keeps the bf16 copy
for the whole update; of a frozen one it makes a copy in each forward pass, and each copy is kept
for the backward pass: at 7B, 13 GB twice beside 27 GB in fp32. Checkpoints are released in bf16,
so that the copy can take the weight's place, and the numbers stay what they were, bit for bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def narrow_frozen(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Hold frozen linear weights in `dtype` inside; they are as they were afterwards.

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
