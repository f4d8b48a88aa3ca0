"""What the rounding to each precision leaves of an update, matrix by matrix.

The rows of a matrix go through in blocks, so that all temporaries are small. In full size there
are the matrix, its update and one vector for quantiles; for GPTQ the two packed matrices as well.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from qunlearn.models.updates import Update, frobenius_norm, quantized_layers, updates
from qunlearn.quantize.grids import rows_together
from qunlearn.quantize.method import Precision, check_group, method_of
from qunlearn.survival.histogram import Histogram
from qunlearn.survival.rounding import Rounding, nearest_rounding, packed_rounding
from qunlearn.survival.table import MatrixRow, Measurement

BLOCK_WEIGHTS = 2**16
"""About as many weights a block: its temporaries stay in the processor's cache."""
_LARGEST = torch.finfo(torch.float32).max


def measure(
    target: Path,
    model: Path,
    precisions: Sequence[Precision],
    packed: Mapping[str, tuple[Path, Path]],
) -> dict[str, Measurement]:
    """Measure the survival of the update from `target` to `model` at every precision.

    Args:
        target: checkpoint.
        model: checkpoint, or LoRA adapter of `target`; not a diverged one.
        packed: name of a precision that is only known from folders -> those of target and model.

    Returns:
        Precision's name -> its measurement, matrices in the model's order.

    Raises:
        InputError: as `updates`; a group that does not fit; packed checkpoints of another kind.
    """
    layers = quantized_layers(target)
    for precision in precisions:
        check_group(layers, precision)
    rows: dict[str, list[MatrixRow]] = {precision.name: [] for precision in precisions}
    histograms = {precision.name: Histogram() for precision in precisions}
    changes = updates(target, model)
    with tqdm(total=len(layers), desc="survival", unit="matrix") as bar:
        # No loop over `changes`: its variable would hold one matrix while the next is read.
        for _ in layers:
            matrix = Matrix(next(changes))
            for precision in precisions:
                row, histogram = matrix.measure(_rounding(precision, packed, matrix.update.name))
                rows[precision.name].append(row)
                histograms[precision.name] += histogram
            del matrix
            bar.update()
    return {name: Measurement(rows[name], histograms[name].bins()) for name in rows}


def _rounding(precision: Precision, packed: Mapping[str, tuple[Path, Path]], name: str) -> Rounding:
    if method_of(precision).packed:
        return packed_rounding(*packed[precision.name], name, precision)
    return nearest_rounding(precision)


class Matrix:
    """An update, with what is the same at every precision."""

    def __init__(self, update: Update) -> None:
        self.update = update
        self._numbers = torch.empty(update.weight.numel())
        columns = update.weight.shape[1]
        together = rows_together(columns)
        size = max(BLOCK_WEIGHTS // columns // together, 1) * together
        self._blocks = [slice(i, i + size) for i in range(0, len(update.weight), size)]
        self._norm_w = frobenius_norm(update.weight)
        self._norm_d = frobenius_norm(update.delta)
        self._quantiles = self._magnitudes(moved=False)
        moved_quantiles = self._magnitudes(moved=True)
        self._moved_quantiles: Sequence[float | None] = moved_quantiles or [None] * 3

    def measure(self, rounding: Rounding) -> tuple[MatrixRow, Histogram]:
        """What `rounding` leaves of the update, and how its weights lie."""
        histogram = Histogram()
        fixed, adaptive = _Arrival(), _Arrival()
        rounding_error = predicted = 0.0
        filled = 0
        for rows in self._blocks:
            weight, delta = self.update.weight[rows], self.update.delta[rows]
            block = rounding(rows, weight, weight + delta)
            ratio = self._numbers[filled : filled + weight.numel()].view(weight.shape)
            filled += weight.numel()
            torch.div(delta.abs(), block.grid.step(weight), out=ratio).clamp_(max=_LARGEST)
            predicted += float(ratio.clamp(max=1.0).sum(dtype=torch.float64))
            histogram.add(
                ratio,
                moved=delta != 0,
                zero=block.fixed[0].values == 0,
                fixed=block.fixed[0].codes != block.fixed[1].codes,
                adaptive=block.adaptive[0].codes != block.adaptive[1].codes,
            )
            fixed.add(block.fixed[1].values - block.fixed[0].values, delta)
            adaptive.add(block.adaptive[1].values - block.adaptive[0].values, delta)
            rounding_error += _norm(block.adaptive[0].values - weight) ** 2
        return self._row(histogram, fixed, adaptive, predicted, rounding_error), histogram

    def _row(
        self,
        histogram: Histogram,
        fixed: "_Arrival",
        adaptive: "_Arrival",
        predicted: float,
        rounding_error: float,
    ) -> MatrixRow:
        n, moved = histogram.weights, histogram.moved
        steps = quantiles(self._numbers.numpy(), (0.5, 0.99))
        in_place = (fixed.figures(self._norm_d), adaptive.figures(self._norm_d))
        cosine, error, projection = zip(*in_place, strict=True)
        return MatrixRow(
            layer=self.update.layer,
            module=self.update.module,
            n=n,
            norm_w=self._norm_w,
            norm_d=self._norm_d,
            relative_d=_ratio(self._norm_d, self._norm_w),
            moved=moved / n,
            step_median=steps[0],
            step_p99=steps[1],
            flips_predicted=predicted / n,
            flips_fixed=histogram.flips_fixed / n,
            flips_adaptive=histogram.flips_adaptive / n,
            cosine_fixed=cosine[0],
            cosine_adaptive=cosine[1],
            error_fixed=error[0],
            error_adaptive=error[1],
            projection_fixed=projection[0],
            projection_adaptive=projection[1],
            rounding_error=_ratio(math.sqrt(rounding_error), self._norm_w),
            w_q10=self._quantiles[0],
            w_q50=self._quantiles[1],
            w_q90=self._quantiles[2],
            moved_w_q10=self._moved_quantiles[0],
            moved_w_q50=self._moved_quantiles[1],
            moved_w_q90=self._moved_quantiles[2],
            zero_bin=histogram.zero / n,
            zero_bin_moved=_ratio(histogram.zero_moved, moved),
        )

    def _magnitudes(self, *, moved: bool) -> list[float]:
        """Quantiles of |w| of all weights or of the moved ones; empty where there are none."""
        filled = 0
        for rows in self._blocks:
            magnitudes = self.update.weight[rows].abs()
            if moved:
                magnitudes = magnitudes[self.update.delta[rows] != 0]
            self._numbers[filled : filled + magnitudes.numel()] = magnitudes.view(-1)
            filled += magnitudes.numel()
        return quantiles(self._numbers[:filled].numpy(), (0.1, 0.5, 0.9)) if filled else []


@dataclass
class _Arrival:
    """Sums over blocks for one d_eff."""

    dot: float = 0.0
    square: float = 0.0
    error: float = 0.0

    def add(self, arrived: Tensor, delta: Tensor) -> None:
        self.dot += float(torch.dot(arrived.view(-1).double(), delta.reshape(-1).double()))
        self.square += _norm(arrived) ** 2
        self.error += _norm(arrived - delta) ** 2

    def figures(self, norm_d: float) -> tuple[float | None, float | None, float | None]:
        """Cosine, relative error and projection; None where d = 0."""
        if not norm_d:
            return None, None, None
        # Nothing arrived: by convention the cosine is 0.
        cosine = self.dot / (math.sqrt(self.square) * norm_d) if self.square else 0.0
        return cosine, math.sqrt(self.error) / norm_d, self.dot / norm_d**2


def _norm(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values, dtype=torch.float64))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def quantiles(values: NDArray[np.float32], shares: Sequence[float]) -> list[float]:
    """Quantiles, interpolated linearly as numpy does, three times as fast and without a copy.

    Args:
        values: not empty; reordered in place.
        shares: ascending.
    """
    found, start = [], 0
    for share in shares:
        position = share * (len(values) - 1)
        index = int(position)
        # What lies below the last quantile is smaller than all that is still asked for.
        values[start:].partition(index - start)
        low, start = float(values[index]), index
        high = float(values[index + 1 :].min(initial=np.inf)) if position > index else low
        found.append(low + (position - index) * (high - low))
    return found
