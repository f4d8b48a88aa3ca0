"""An intervention: round a model but for some of its weights, and see which of them mattered.

An update that was trained in bf16 without master weights moves mostly weights near 0, which a
coarse grid rounds to 0 before and after. If that is why the update is lost, then leaving just
those weights unrounded must keep it, and leaving as many others must not.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qunlearn.models.checkpoints import load_dense, load_tokenizer, save_model
from qunlearn.models.updates import Update, quantizable_layers, updates
from qunlearn.quantize.method import Precision, method_of
from qunlearn.settings.fixed import Choice


def quantize_spared(
    target: Path, source: Path, precision: Precision, choice: Choice, seed: int, folder: Path
) -> dict[str, Any]:
    """Write `source` rounded to a plain grid, but for the chosen weights, which keep their value.

    The steps of the grid are those of the whole row or group, spared weights included.

    Args:
        target: the checkpoint before unlearning: a weight has moved where the two differ.
        source: the unlearned checkpoint.
        precision: an `rtn` precision, or bf16, in which nothing needs to be spared.
        choice: which weights keep their value, see `chosen`; `seed` draws those of `unmoved`.

    Returns:
        Facts for the manifest: `quantized_matrices`, `storage`, and the shares of their weights
        that were `spared` and that had `moved`.

    Raises:
        InputError: a bad checkpoint, or a group that does not fit the model.
    """
    model = load_dense(source)
    layers, method = quantizable_layers(model), method_of(precision)
    method.check(layers, precision)
    generator = torch.Generator().manual_seed(seed)
    spared = moved = total = 0
    for update in updates(target, source):
        kept, weight = chosen(update, precision, choice, generator), layers[update.name].weight.data
        if precision.bits < 16:
            grid = method.grid(weight, precision)
            weight.copy_(torch.where(kept, weight, grid.values(grid.codes(weight))))
        spared += int(kept.sum())
        moved += int((update.delta != 0).sum())
        total += weight.numel()
    if precision.bits == 16:
        model = method.change(model, layers, precision)
    save_model(model, load_tokenizer(source), folder)
    return {
        "quantized_matrices": len(layers),
        "storage": "float32 code * scale; spared weights as they were",
        "spared": round(spared / total, 6),
        "moved": round(moved / total, 6),
    }


def chosen(
    update: Update, precision: Precision, choice: Choice, generator: torch.Generator
) -> Tensor:
    """Which weights of a matrix are spared: [out, in], bool.

    `zero_bin`: those that moved and whose value *before* the update the grid rounds to 0;
    `other_bins`: those that moved elsewhere; `unmoved`: as many weights that never moved as
    `zero_bin` has, drawn at random (all that there are, if there are fewer).
    """
    moved = update.delta != 0
    if precision.bits == 16:
        return torch.zeros_like(moved)
    grid = method_of(precision).grid(update.weight, precision)
    at_zero = grid.zero(grid.codes(update.weight))
    if choice != "unmoved":
        return moved & (at_zero if choice == "zero_bin" else ~at_zero)
    still = (~moved).flatten().nonzero().flatten()
    drawn = torch.randperm(len(still), generator=generator)[: int((moved & at_zero).sum())]
    kept = torch.zeros(moved.numel(), dtype=torch.bool)
    kept[still[drawn]] = True
    return kept.reshape(moved.shape)
