"""Floating-point operations, in multiplications and additions: 2 a weight and token.

Per token of a forward pass, with N = weights of all matrices, V = vocabulary, h = hidden, q = heads
* head_dim, T = tokens of the row (Kaplan et al. 2020, section 2.1; PaLM, Chowdhery et al. 2022,
appendix B), and with half of the attention, since it is causal:

    layers     2 N + 2 layers q T
    head       2 V h

The backward pass takes as much again for the gradients of the states and as much for those of the
weights; frozen weights (LoRA, but for its own matrices) need none, attention has no weights and
takes twice its forward pass. Checkpointing computes the layers once more. A loss in chunks computes
its logits once more under a trained head.
"""

from collections.abc import Mapping
from typing import Any

from qunlearn.planning.shapes import ModelShape
from qunlearn.planning.training import Training


def forward(shape: ModelShape, tokens: float, length: float, scored: float | None = None) -> float:
    """A forward pass.

    Args:
        tokens: how many in all.
        length: tokens of a row.
        scored: positions whose logits are computed; all by default.
    """
    positions = tokens if scored is None else scored
    return tokens * layers_flops(shape, length) + positions * 2 * shape.embedding


def layers_flops(shape: ModelShape, length: float) -> float:
    """The layers of a forward pass, per token."""
    return 2 * shape.matrices + 2 * shape.layers * shape.heads * shape.head_dim * length


def update(training: Training, tokens: float) -> float:
    """Forward and backward pass of all losses over `tokens` tokens of each."""
    shape = training.shape
    attention = 2 * shape.layers * shape.heads * shape.head_dim * training.tokens
    layers, head = 2 * shape.matrices, 2 * shape.embedding
    again = layers + attention if training.checkpointing else 0
    if training.adapter == "lora":
        own = 3 * 2 * training.trained
        total = 2 * layers + 3 * attention + own + 2 * head + again
    else:
        total = 3 * (layers + attention) + 4 * head + again
    of_reference = head if "kl" in training.losses else 0
    return tokens * (len(training.losses) * total + of_reference)


def finetuning(training: Training, settings: Mapping[str, Any], rows: int) -> float:
    """Ordinary training; keys of TrainSettings."""
    seen: int = _updates(settings, rows) * settings["batch_size"]
    return update(training, seen * training.tokens)


def unlearning(
    training: Training, objective: str, settings: Mapping[str, Any], forget: int, retain: int
) -> float:
    """Unlearning to the end of its epochs, which the stop rule may cut short.

    Its updates; NPO's reference, a pass over the forget rows; KLR's, a pass over the retain rows;
    and the looks at the forget rows, every `log_every` updates.

    Args:
        settings: keys of UnlearnSettings.
        forget, retain: rows.
    """
    shape = training.shape
    updates = _updates(settings, forget)
    looks: int = -(-updates // settings["log_every"])
    passes = looks + (1 if objective.startswith("npo") else 0)
    total = update(training, updates * settings["batch_size"] * training.tokens)
    total += passes * forward(shape, forget * training.tokens, training.tokens)
    if objective.endswith("klr"):
        total += forward(shape, retain * training.tokens, training.tokens, scored=0)
    return total


def _updates(settings: Mapping[str, Any], rows: int) -> int:
    updates: int = max(1, round(settings["epochs"] * rows / settings["batch_size"]))
    return updates


def gptq(shape: ModelShape, sequences: int, length: int) -> float:
    """GPTQ (Frantar et al. 2023): for each matrix the Hessian of its inputs, its Cholesky factor
    and inverse, and the rounding, which carries each column's error to those right of it.

        2 tokens in^2 + 2 in^3 + out in^2

    and two forward passes of the calibration texts through the layers: as they were and rounded.
    """
    tokens = sequences * length
    matrices = sum(
        2 * tokens * inputs**2 + 2 * inputs**3 + outputs * inputs**2
        for inputs, outputs in shape.linear_shapes().values()
    )
    return shape.layers * matrices + 2 * tokens * layers_flops(shape, length)
