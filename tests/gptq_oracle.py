"""A reference GPTQ, written for being read: Frantar et al. (2023), column by column, in float64."""

import torch
from torch import Tensor

DAMPING = 0.01  # of the mean of the Hessian's diagonal, added to it


def gptq(weight: Tensor, hessian: Tensor, bits: int, group: int) -> Tensor:
    """Quantize `weight` so that its outputs on the calibration inputs change least.

    Columns are rounded from left to right. The error of each is made up for by the columns that
    are still to come, as the inverse Hessian tells: with U its upper Cholesky factor, column j's
    error, divided by U[j, j], is taken off column k with the weight U[j, k]. A group's scale is
    set when its first column is reached, from the weights as they have become by then; its 2^bits
    codes span -max|w| .. max|w|.

    Args:
        weight: [out, in].
        hessian: [in, in], X^T X of the calibration inputs X, up to a factor; no input is always 0.
        bits: bits a code; codes run from -2^(bits-1) to 2^(bits-1) - 1.
        group: neighbouring columns that share a scale.

    Returns:
        The quantized weights, [out, in], float64.
    """
    left, h = weight.double().clone(), hessian.double()
    h = h + DAMPING * h.diagonal().mean() * torch.eye(len(h), dtype=h.dtype)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    upper = torch.linalg.cholesky(inverse, upper=True)
    quantized = torch.zeros_like(left)
    half = 2 ** (bits - 1)
    for column in range(left.shape[1]):
        if column % group == 0:
            scale = 2 * left[:, column : column + group].abs().amax(dim=1) / (2**bits - 1)
        quantized[:, column] = scale * (left[:, column] / scale).round().clamp(-half, half - 1)
        error = (left[:, column] - quantized[:, column]) / upper[column, column]
        left[:, column:] -= error[:, None] * upper[column, column:]
    return quantized


def output_error(changed: Tensor, weight: Tensor, hessian: Tensor) -> float:
    """||X (W' - W)^T|| / ||X W^T||: how far a layer's outputs move on the calibration inputs."""
    difference, w, h = changed.double() - weight.double(), weight.double(), hessian.double()
    return float(((difference @ h * difference).sum() / (w @ h * w).sum()).sqrt())
