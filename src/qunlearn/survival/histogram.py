"""Counts of weights by |d| / step, and of what their rounding does."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qunlearn.survival.table import Bin

LOWEST, HIGHEST, A_DECADE = -6, 2, 10
"""The bins of log10(|d| / step): from, to, and how many for 1."""
BINS = (HIGHEST - LOWEST) * A_DECADE


class Histogram:
    """How many weights have which |d| / step, flip their code, and lie in the zero bin."""

    def __init__(self) -> None:
        # [in the zero bin, flips in the adaptive grid, flips in the fixed grid, 1 + BINS]
        self._counts: NDArray[np.int64] = np.zeros((2, 2, 2, 1 + BINS), np.int64)

    def add(
        self, ratio: Tensor, *, moved: Tensor, zero: Tensor, fixed: Tensor, adaptive: Tensor
    ) -> None:
        """Count a block of weights.

        Args:
            ratio: |d| / step, finite.
            moved: whether d != 0; the ratio of such a weight may have underflowed to 0.
            zero: whether the fixed grid rounds the weight to 0.
            fixed, adaptive: whether its code changes.
        """
        logs = ratio.log10().sub_(LOWEST).mul_(A_DECADE).clamp_(0, BINS - 1)
        # One number holds all five answers, so that they are counted in one pass.
        index = logs.int().add_(1).mul_(moved)
        for position, flag in enumerate((fixed, adaptive, zero)):
            index.add_(flag, alpha=(1 + BINS) << position)
        counts = torch.bincount(index.view(-1), minlength=self._counts.size)
        self._counts += counts.numpy().reshape(self._counts.shape)

    def __iadd__(self, other: "Histogram") -> "Histogram":
        self._counts += other._counts
        return self

    @property
    def weights(self) -> int:
        """All weights."""
        return int(self._counts.sum())

    @property
    def moved(self) -> int:
        """Weights with d != 0."""
        return int(self._counts[..., 1:].sum())

    @property
    def flips_fixed(self) -> int:
        """Weights whose code changes in the fixed grid."""
        return int(self._counts[:, :, 1].sum())

    @property
    def flips_adaptive(self) -> int:
        """Weights whose code changes from grid to grid."""
        return int(self._counts[:, 1].sum())

    @property
    def zero(self) -> int:
        """Weights in the zero bin."""
        return int(self._counts[1].sum())

    @property
    def zero_moved(self) -> int:
        """Weights in the zero bin with d != 0."""
        return int(self._counts[1, ..., 1:].sum())

    def bins(self) -> list[Bin]:
        """d = 0 first, then the bins from small to large."""
        edges = [10 ** (LOWEST + i / A_DECADE) for i in range(BINS + 1)]
        lows, highs = [0.0, *edges[:-1]], [0.0, *edges[1:]]
        columns = (
            self._counts.sum(axis=(0, 1, 2)),
            self._counts[:, :, 1].sum(axis=(0, 1)),
            self._counts[:, 1].sum(axis=(0, 1)),
        )
        counts = np.stack(columns, axis=1).tolist()
        return [Bin(low, high, *row) for low, high, row in zip(lows, highs, counts, strict=True)]
