"""Which matrices of a language model are quantized."""

from torch import nn
from transformers import PreTrainedModel


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
