"""bfloat16: every weight rounded to 8 significant bits, as models are usually shipped."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING

from qunlearn.quantize.method import Method, Precision

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from qunlearn.quantize.grids import Grid


class Bfloat16(Method):
    """A cast of all parameters, embeddings and norms included."""

    name = form = printed = "bf16"
    bits = 16
    sixteen_bit = True
    speed = inf  # nothing beside reading and writing
    stored = 16.0
    scheme = "every weight rounded to bfloat16"
    storage = "bfloat16"
    evaluated = "in float32 arithmetic on a CPU, in bfloat16 on a GPU"

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> PreTrainedModel:
        """Cast the parameters, not the buffers, as `model.bfloat16()` would."""
        for weight in model.parameters():
            weight.data = weight.data.bfloat16()
        return model

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """All bfloat16 numbers."""
        from qunlearn.quantize.grids import Bfloat16Grid

        return Bfloat16Grid()


METHODS = (Bfloat16(),)
