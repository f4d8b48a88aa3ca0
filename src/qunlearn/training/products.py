"""Products in bf16 on processors that have no instructions for them.

torch multiplies bf16 matrices in a plain loop there: a product of two numbers is exact in fp32, and
sums are held in fp32. The same is made here of fp32 copies, and rounded to bf16 once, at nearly the
speed of fp32: 3 to 11 times faster on AVX2, one thread, shapes of the default experiment. Only the
order of the sums differs.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = torch.ops.aten
PRODUCTS = frozenset(
    {_ATEN.mm.default, _ATEN.addmm.default, _ATEN.bmm.default, _ATEN.baddbmm.default}
)


@contextmanager
def quick_bf16_products() -> Iterator[None]:
    """Multiply bf16 matrices on the processor as fp32 ones, where that is the quicker way."""
    if has_bf16_instructions():
        yield
    else:
        with _InFloat32():  # type: ignore[no-untyped-call]
            yield


def has_bf16_instructions() -> bool:
    """Whether torch multiplies in bf16 here by more than a loop."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


class _InFloat32(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation beneath autograd and autocast, in the forward and the backward pass."""

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in PRODUCTS and all(map(_is_narrow, args)):
            product: Tensor = func(*(matrix.float() for matrix in args), **(kwargs or {}))
            return product.bfloat16()
        if func is _ATEN.mm.out and kwargs and all(map(_is_narrow, args)):
            left, right = args
            return kwargs["out"].copy_(left.float() @ right.float())
        return func(*args, **(kwargs or {}))


def _is_narrow(matrix: Tensor) -> bool:
    return matrix.dtype == torch.bfloat16 and matrix.device.type == "cpu"
