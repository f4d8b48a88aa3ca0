"""Which matrices of a language model are quantized, and whether a group size fits them."""

from collections.abc import Mapping

from torch import nn
from transformers import PreTrainedModel

from qunlearn.errors import InputError
from qunlearn.quantize.method import Precision

COMMON_GROUPS = (32, 64, 128, 256)


def quantizable_layers(model: PreTrainedModel) -> dict[str, nn.Linear]:
    """Module path -> layer, for every linear layer but the output head.

    Embeddings, norms and lm_head keep their precision: bitsandbytes and GPTQ leave them out by
    default, and so did the paper.
    """
    head = output_head(model)
    return {
        name: module
        for name, module in model.named_modules()
        if type(module) is nn.Linear and module is not head
    }


def output_head(model: PreTrainedModel) -> nn.Module | None:
    """The layer that turns hidden states into logits."""
    head: nn.Module | None = model.get_output_embeddings()
    return head


def check_group(layers: Mapping[str, nn.Linear], precision: Precision) -> None:
    """Complain before any work when the precision's group does not divide every layer's rows.

    Raises:
        InputError: names the first layer at fault and the usual groups that fit all layers.
    """
    group = precision.group
    if group is None:
        return
    for name, layer in layers.items():
        if layer.in_features % group:
            fitting = [
                f"{precision.method}{precision.bits}g{size}"
                for size in COMMON_GROUPS
                if all(other.in_features % size == 0 for other in layers.values())
            ]
            advice = ", ".join(fitting) or f"rtn{precision.bits}, one scale a row"
            raise InputError(
                f"precision '{precision.name}': group {group} does not divide the "
                f"{layer.in_features} inputs of {name}; use {advice}"
            )
