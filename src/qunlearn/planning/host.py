"""What steps take of the machine's own memory and processor."""

from qunlearn.planning.memory import training_peak
from qunlearn.planning.shapes import ModelShape
from qunlearn.planning.training import Training
from qunlearn.quantize.method import Precision

PROCESS = 700 * 2**20
"""An interpreter with torch and transformers before it has a model: measured, 560 to 700 MiB."""
CUDA_PROCESS = 3 * 2**30
"""The same with CUDA's libraries loaded and its kernels mapped: an assumption."""
ROUNDED_A_SECOND = 3e7
"""Weights that one core rounds: nf4, the slowest, on a matrix of 2048 x 4096; RTN 64, int8 103
million on the same core (AVX512)."""
MEASURED_A_SECOND = 2e7
"""Weights that one core lays on one grid before and after an update: nf4 23, RTN and int8 36
million on a matrix of that size."""


def training_host(training: Training, *, on_gpu: bool) -> int:
    """Of a training: all of it on the processor; beside a GPU the weights as they are read."""
    if on_gpu:
        shares = training_peak(training).weights if training.offload else 0
        return CUDA_PROCESS + training.weight_bytes * training.shape.parameters + shares
    return PROCESS + training_peak(training).total


def quantize_host(shape: ModelShape) -> int:
    """The model in fp32, and one matrix a few times over."""
    return PROCESS + 4 * (shape.parameters + 3 * largest_matrix(shape))


def gptq_bytes(shape: ModelShape, sequences: int, length: int) -> int:
    """GPTQ of one layer at a time: its weights, the Hessian of its widest inputs with two factors
    of it, and the calibration texts' states before and after the layer, all in fp32."""
    widest = max(inputs for inputs, _ in shape.linear_shapes().values())
    states = 2 * sequences * length * shape.hidden
    return 4 * (2 * shape.layer_matrices + 3 * widest**2 + states)


def survival_host(shape: ModelShape, precisions: list[str]) -> int:
    """A matrix, its update and their quantiles; for GPTQ both packed matrices as codes."""
    packed = any(Precision.parse(name).method == "gptq" for name in precisions)
    return PROCESS + (4 * 4 + (2 * 2 if packed else 0)) * largest_matrix(shape)


def largest_matrix(shape: ModelShape) -> int:
    """Weights of a layer's largest matrix."""
    return max(inputs * outputs for inputs, outputs in shape.linear_shapes().values())
