"""bfloat16: every weight rounded to 8 significant bits, as models are usually shipped."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from qunlearn.quantize.calibration import Texts
    from qunlearn.quantize.grids import Grid


class Bfloat16(Method):
    """A cast of all parameters, embeddings and norms included."""

    name = form = "bf16"
    about = "every weight rounded to bfloat16"
    sixteen_bit = True
    speed = inf  # nothing beside reading and writing
    evaluated = "in float32 arithmetic on a CPU, in bfloat16 on a GPU"

    def parse(self, name: str) -> Precision | None:
        """`bf16` alone."""
        return Precision(name, self.name, 16) if name == self.name else None

    def stored_bits(self, precision: Precision) -> float:
        """16."""
        return 16.0

    def describe(self, precision: Precision) -> str:
        """One sentence."""
        return self.about

    def label(self, precision: Precision) -> str:
        """In small letters, as the type is written."""
        return precision.name

    def write(
        self, source: Path, base: Path | None, precision: Precision, texts: Texts | None, out: Path
    ) -> dict[str, Any]:
        """As every method; no matrix counts as quantized."""
        return super().write(source, base, precision, texts, out) | {"quantized_matrices": 0}

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> str:
        """Cast the parameters, not the buffers, as `model.bfloat16()` would."""
        for weight in model.parameters():
            weight.data = weight.data.bfloat16()
        return "bfloat16"

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """All bfloat16 numbers."""
        from qunlearn.quantize.grids import Bfloat16Grid

        return Bfloat16Grid()


METHODS = (Bfloat16(),)
