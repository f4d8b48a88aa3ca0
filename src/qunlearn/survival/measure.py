"""What the rounding to each precision leaves of an update, matrix by matrix.

The rows of a matrix go through in blocks, so that all temporaries are small, on as many threads as
torch has. Each block is one thread's and the sums over blocks keep their order, so that no number
depends on how many threads there are. In full size there are the matrix and its update; for GPTQ
the two packed matrices as well.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from qunlearn.models.updates import Update, quantized_layers, updates
from qunlearn.quantize.grids import Grid
from qunlearn.quantize.method import Precision, method_of
from qunlearn.quantize.packed import PackedMatrix
from qunlearn.survival.table import MATRICES

BLOCK_WEIGHTS = 2**16
"""About as many weights a block: its temporaries stay in the processor's cache."""
LOWEST, HIGHEST, A_DECADE = -6, 2, 10
"""The bins of log10(|d| / step): from, to, and how many for 1."""
BINS = (HIGHEST - LOWEST) * A_DECADE
SHAPE = (2, 2, 2, 1 + BINS)

Counts = NDArray[np.int64]
"""SHAPE, weights: whether the fixed grid takes them for 0 (`Grid.zero`), whether their code changes
from grid to grid, whether it changes on the fixed grid; and d = 0 or the bin of |d| / step."""


class Rounded(NamedTuple):
    """Weights on a grid: their codes and the points that these stand for, both [rows, in]."""

    codes: Tensor
    values: Tensor


Pair = tuple[Rounded, Rounded]
"""Of W and of W + d."""
Sums = NDArray[np.float64]
Row = list[Any]
Measurement = tuple[list[Row], list[Row]]
"""One model at one precision: a row for each matrix, and the bins over all of them; see `table`."""


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
        InputError: as `updates`; a precision that does not fit; packed checkpoints of another kind.
    """
    layers = quantized_layers(target)
    for precision in precisions:
        method_of(precision).check(layers, precision)
    rows: dict[str, list[Row]] = {precision.name: [] for precision in precisions}
    counts: dict[str, Counts] = {name: np.zeros(SHAPE, np.int64) for name in rows}
    changes = updates(target, model)
    with _threads() as executor:
        # No loop over `changes`: its variable would hold one matrix while the next is read.
        for name in tqdm(layers, desc="survival", unit="matrix"):
            update = next(changes)
            for precision in precisions:
                read = method_of(precision).read_packed
                shipped = [read(each, name, precision) for each in packed.get(precision.name, ())]
                row, counted = measure_matrix(update, precision, shipped, executor)
                rows[precision.name].append([row[column] for column in MATRICES])
                counts[precision.name] += counted
            del update
    return {name: (rows[name], histogram(counts[name])) for name in rows}


@contextmanager
def _threads() -> Iterator[Executor]:
    """As many threads as torch has, in each of which torch computes on that thread alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # new threads begin with it as well
    try:
        with ThreadPoolExecutor(threads) as executor:
            yield executor
    finally:
        torch.set_num_threads(threads)


def measure_matrix(
    update: Update,
    precision: Precision,
    packed: Sequence[PackedMatrix] = (),
    executor: Executor | None = None,
) -> tuple[dict[str, Any], Counts]:
    """What rounding leaves of one update, and how its weights lie.

    Args:
        packed: as in `rounded`.
        executor: its threads share the blocks; None: they are measured one after another.
    """
    size = max(BLOCK_WEIGHTS // update.weight.shape[1], 1)
    blocks = [slice(start, start + size) for start in range(0, len(update.weight), size)]
    measured = partial(_measure_rows, update, precision, packed)
    counts: Counts = np.zeros(SHAPE, np.int64)
    sums = np.zeros(4 + 2 * 3)
    for counted, added in (executor.map if executor else map)(measured, blocks):
        counts += counted
        sums += added
    predicted, rounding_error, square_w, square_d = map(float, sums[:4])
    n, moved = int(counts.sum()), int(counts[..., 1:].sum())
    norm_w, norm_d = math.sqrt(square_w), math.sqrt(square_d)
    row: dict[str, Any] = {"layer": update.layer, "module": update.module, "n": n}
    row |= {"norm_w": norm_w, "norm_d": norm_d, "relative_d": _ratio(norm_d, norm_w)}
    row |= {"moved": moved / n, "zero_bin_moved": _ratio(int(counts[1, ..., 1:].sum()), moved)}
    row |= {"flips_predicted": predicted / n, "flips_fixed": int(counts[:, :, 1].sum()) / n}
    row |= {"flips_adaptive": int(counts[:, 1].sum()) / n, "zero_bin": int(counts[1].sum()) / n}
    row |= {"rounding_error": _ratio(math.sqrt(rounding_error), norm_w)}
    row |= _figures("fixed", sums[4:7], norm_d) | _figures("adaptive", sums[7:], norm_d)
    return row, counts


def _measure_rows(
    update: Update, precision: Precision, packed: Sequence[PackedMatrix], rows: slice
) -> tuple[Counts, Sums]:
    """The counts of some rows and what they add to the sums of their matrix."""
    weight, delta = update.weight[rows], update.delta[rows]
    grid, on_grid, shipped = rounded(precision, packed, rows, weight, weight + delta)
    steps = grid.step(weight)  # next to nothing where all weights are 0
    ratio = (delta.abs() / steps).clamp_(max=torch.finfo(torch.float32).max)
    predicted = float(ratio.clamp(max=1.0).sum(dtype=torch.float64))
    flips = [before.codes != after.codes for before, after in (on_grid, shipped)]
    counts = count(ratio, delta != 0, flips[0], flips[1], grid.zero(on_grid[0].codes))
    squares = _square(shipped[0].values - weight), _square(weight), _square(delta)
    arrived = *_arrived(on_grid, delta), *_arrived(shipped, delta)
    return counts, np.array([predicted, *squares, *arrived])


def rounded(
    precision: Precision,
    packed: Sequence[PackedMatrix],
    rows: slice,
    weight: Tensor,
    unlearned: Tensor,
) -> tuple[Grid, Pair, Pair]:
    """Some rows of W and of W + d on the fixed grid, and each as it would be shipped.

    Args:
        precision: whose grid.
        packed: where the codes depend on more than the matrix, W and W + d as they are shipped,
            compensation of errors included; the fixed grid then has the scales of W's, and plain
            nearest rounding onto it compensates nothing.
        rows: which they are.
        weight, unlearned: these rows.

    Returns:
        The fixed grid, both on it, and both as shipped.
    """
    if packed:
        before, after = (matrix.rows(rows) for matrix in packed)
        shipped = Rounded(before.codes, before.dense()), Rounded(after.codes, after.dense())
        grid: Grid = before.grid()
        return grid, (nearest(grid, weight), nearest(grid, unlearned)), shipped
    grid, own = (method_of(precision).grid(each, precision) for each in (weight, unlearned))
    fixed = nearest(grid, weight), nearest(grid, unlearned)
    return grid, fixed, (fixed[0], nearest(own, unlearned))


def nearest(grid: Grid, weight: Tensor) -> Rounded:
    """`weight` rounded to `grid`."""
    codes = grid.codes(weight)
    return Rounded(codes, grid.values(codes))


def _arrived(pair: Pair, delta: Tensor) -> tuple[float, float, float]:
    """Of d_eff: its product with d, its square, and that of its difference from d."""
    arrived = pair[1].values - pair[0].values
    dot = float(torch.dot(arrived.view(-1).double(), delta.reshape(-1).double()))
    return dot, _square(arrived), _square(arrived - delta)


def _figures(grid: str, arrived: Sums, norm_d: float) -> dict[str, float]:
    """Cosine, relative error and projection of the sums of `_arrived`; NaN where d = 0."""
    dot, square, error = map(float, arrived)
    # Nothing arrived: by convention the cosine is 0.
    cosine = _ratio(dot, math.sqrt(square) * norm_d) if square else 0.0
    return {
        f"cosine_{grid}": cosine if norm_d else math.nan,
        f"error_{grid}": _ratio(math.sqrt(error), norm_d),
        f"projection_{grid}": _ratio(dot, norm_d**2),
    }


def count(ratio: Tensor, moved: Tensor, fixed: Tensor, adaptive: Tensor, zero: Tensor) -> Counts:
    """The counts of a block of weights.

    Args:
        ratio: |d| / step, finite.
        moved: whether d != 0; the ratio of such a weight may have underflowed to 0.
        fixed, adaptive: whether its code changes.
        zero: whether the weight's code on the fixed grid acts as 0.
    """
    logs = ratio.log10().sub_(LOWEST).mul_(A_DECADE).clamp_(0, BINS - 1)
    # One number holds all five answers, so that they are counted in one pass.
    index = logs.int().add_(1).mul_(moved)
    for position, flag in enumerate((fixed, adaptive, zero)):
        index.add_(flag, alpha=(1 + BINS) << position)
    return torch.bincount(index.view(-1), minlength=math.prod(SHAPE)).numpy().reshape(SHAPE)


def histogram(counts: Counts) -> list[Row]:
    """The bins of the counts: d = 0 first, then from small to large."""
    edges = [10 ** (LOWEST + i / A_DECADE) for i in range(BINS + 1)]
    lows, highs = [0.0, *edges[:-1]], [0.0, *edges[1:]]
    columns = counts.sum(axis=(0, 1, 2)), counts[:, :, 1].sum(axis=(0, 1))
    return list(map(list, zip(lows, highs, *(c.tolist() for c in columns), strict=True)))


def _square(values: Tensor) -> float:
    return float(torch.linalg.vector_norm(values, dtype=torch.float64)) ** 2


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
