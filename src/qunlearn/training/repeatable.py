"""Training twice on one GPU should give one result, as it does on a processor."""

import torch


def ask_for_repeatable_kernels() -> None:
    """On a GPU, take deterministic kernels where there are some, and go on where there are none.

    What stays is told by torch in a warning: the backward pass of the memory-efficient attention,
    which padded rows take, sums in the order in which its blocks end. An error instead of the
    warning would end such a training. cuBLAS's workspace is set in `cli`, before CUDA starts.
    """
    if torch.cuda.is_available():
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling all new memory with NaN finds reads of it; there are none, and it takes time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
