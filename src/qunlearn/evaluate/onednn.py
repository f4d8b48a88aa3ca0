"""Products in float32 on processors with AVX-512.

torch gives them to MKL, which takes its AVX2 kernels on a processor that is not Intel's: 100
GFLOP/s of a Zen 5 core where oneDNN, which torch has for bf16, does 160 with 32 rows and 240 with
many. Both sum in float32; only the order of the sums differs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


@contextmanager
def quick_products(model: nn.Module) -> Iterator[None]:
    """Within the block, the model's linear layers in float32 multiply by oneDNN, on AVX-512.

    It makes no gradients. Other classes of layers, such as quantized ones, stay what they are.
    """
    layers = [module for module in model.modules() if _is_plain(module)]
    for layer in layers:
        layer.__class__ = _OneDnn
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nn.Linear


def _is_plain(module: nn.Module) -> bool:
    return (
        type(module) is nn.Linear
        and module.weight.dtype == torch.float32
        and module.weight.device.type == "cpu"
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
    )


class _OneDnn(nn.Linear):
    def forward(self, states: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            states, self.weight, self.bias, "none", [], ""
        )
        return product
