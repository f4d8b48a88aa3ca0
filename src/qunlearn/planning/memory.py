"""The largest memory at once of a training, in tensors.

    peak = weights + moments + max(after forward, between, update, look)

    after forward   copies + states of all losses + head, or a layer's backward pass
    between         copies + states of the first loss + head + gradients as they are multiplied
    update          gradients, and the embedding's once more where two losses add to it
    look            states of a forward pass without gradients

to which gradients that are summed over several passes are added, but in the update. The graphs of
all losses are held until the backward pass, which takes the newest first; hence *between*: the last
loss's states are gone, and its gradients wait, in the format of the multiplication, for those of
the first, since both flow into the same copies of the weights. The moments are there from the
second update on; the Trainer frees gradients before the next forward pass. *States* are what the
backward pass needs (`states.py`). *Copies* are autocast's bf16 weights: those of trained weights
are made once and shared, those of frozen weights at each use, and the graph keeps them; with
checkpointing a layer's are made anew when it is computed, and each loss has a backward pass of its
own, in which gradients are summed at once.

LoRA's frozen weights are in fp32 before and after training, and in the end the merged model's
logits of a few rows are compared with the unmerged one's: `merging`, which can be the most.

Adam's moments are two numbers a weight in the weight's own format (Kingma & Ba 2015), or two bytes
and, for each 256 weights, two fp32 maxima (8-bit optimizers: Dettmers et al. 2022).
"""

from dataclasses import dataclass

from qunlearn.planning.states import (
    head_states,
    layer_states,
    look_states,
    passing,
    reference_states,
)
from qunlearn.planning.training import Training

BLOCK = 256  # weights that share a maximum in bitsandbytes' 8-bit moments
PROBE_ROWS, PROBE_TOKENS = 16, 256  # of training.unlearn_run
CUDA_CONTEXT = 500 * 2**20
"""Kernels, cuBLAS workspace and the driver's own, which no tensor accounts for: an assumption."""


@dataclass(frozen=True)
class Peak:
    """The parts of a training's largest memory, in bytes.

    Attributes:
        weights: the model, the adapter and the KL term's reference.
        gradients: of what is trained.
        moments: the optimizer's.
        copies: bf16 copies of weights that live through a forward pass.
        states: activations kept for the backward pass, of all losses.
        head: logits and what is made of them, at one time.
        updates: the largest sum that is there at once while it trains.
        merging: of merging the adapter afterwards; 0 without one.
    """

    weights: int
    gradients: int
    moments: int
    copies: int
    states: int
    head: int
    updates: int
    merging: int

    @property
    def total(self) -> int:
        """The most of the whole job."""
        return max(self.updates, self.merging)


def training_peak(training: Training) -> Peak:
    """The parts and the total, of one GPU where several share them.

    Each of several has its share of weights, gradients and moments, and for the time that they
    compute whole what is not in a layer and two layers (Zhao et al. 2023, FSDP), in fp32 with
    their gradients. This part is not checked against a measurement.
    """
    shape, size = training.shape, training.weight_bytes
    positions = training.rows * training.tokens
    several = len(training.losses) > 1
    together = several and not training.checkpointing
    weights, moments, copies = _weights(training), _moments(training), _copies(training)
    gradients = size * training.trained
    if training.processes > 1:
        share = 0 if training.offload else 1 / training.processes
        whole = size * (shape.parameters - shape.matrices + 2 * shape.layer_matrices)
        weights, gradients = int(share * weights) + whole, int(share * gradients) + whole
        moments, copies = int(share * moments), 0
    weights += reference_states(training)
    of_layer = int(positions * layer_states(training))
    if training.checkpointing:
        of_layers = positions * shape.layers * shape.hidden * size
        working = of_layer + (2 * shape.layer_matrices if training.casts else 0)
    else:
        of_layers, working = of_layer * shape.layers, 0
    heads = [head_states(training, loss) for loss in training.losses]
    first, last = heads[0], heads[-1]
    summed = gradients if training.accumulates else 0
    waiting = copies if copies else gradients - summed
    embedding = size * shape.embedding if training.adapter != "lora" else 0
    if training.checkpointing:
        states = max(head.held for head in heads) + of_layers
        built = gradients - summed if several else 0  # by the first loss, when the second comes
        after_forward = states + max(*(head.working for head in heads), working) + built
    else:
        states = sum(head.held + of_layers for head in heads)
        after_forward = copies + states + last.working
    between = copies + first.held + of_layers + first.working + waiting + embedding
    update = gradients - summed + (embedding if together else 0)
    most = max(after_forward, between if together else 0, update, look_states(training))
    return Peak(
        weights=weights,
        gradients=gradients,
        moments=moments,
        copies=copies,
        states=states,
        head=max(head.working for head in heads),
        updates=weights + moments + summed + most,
        merging=merging(training),
    )


def merging(training: Training) -> int:
    """Model and adapter in fp32, and four times the logits of the rows that are compared, or the
    states of the layer that they are in."""
    if training.adapter != "lora":
        return 0
    positions = PROBE_ROWS * min(training.tokens, PROBE_TOKENS)
    weights = 4 * (training.shape.parameters + training.trained)
    logits = 4 * 4 * training.shape.vocabulary
    return weights + positions * max(logits, passing(training, 4))


def _moments(training: Training) -> int:
    """Both of each trained weight; the Trainer keeps the embedding's out of the 8 bits."""
    if not training.eight_bit:
        return 2 * training.weight_bytes * training.trained
    embedding = training.shape.embedding if training.adapter != "lora" else 0
    return int((training.trained - embedding) * 2 * (1 + 4 / BLOCK)) + 2 * 4 * embedding


def _weights(training: Training) -> int:
    """The model; under LoRA the frozen matrices in the format they are multiplied in."""
    shape, size = training.shape, training.weight_bytes
    if training.adapter != "lora":
        return size * shape.parameters
    matrices = shape.matrices + (0 if shape.tied else shape.embedding)
    frozen = training.compute_bytes * matrices + size * (shape.parameters - matrices)
    return frozen + size * training.trained


def _copies(training: Training) -> int:
    if not training.casts or training.adapter == "lora" or training.checkpointing:
        return 0
    return 2 * training.shape.matrices
