"""What it takes to ask a model MUSE's questions in a precision, on a GPU.

Memory: the weights, and the largest batch's keys and values, one layer's work and logits, as
`evaluate/batching.py` reckons. bf16 and int8 are asked in 16 bits, all else in fp32 (the weights
dequantized). Time: reading texts and prompts is bounded by arithmetic, generating by reading
all weights and all keys and values for each token (Pope et al. 2022, section 2.1).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qunlearn.planning.flops import forward
from qunlearn.planning.shapes import ModelShape
from qunlearn.planning.sizes import Sizes, Texts
from qunlearn.quantize.method import Precision

MOST_LOGITS = 2**31  # bytes of a batch's logits: evaluate.batching.MOST_LOGITS
INT8_ROWS = 8  # where the settings say auto: evaluate.evaluation.INT8_ROWS
AUTO_ROWS = 32
"""Rows of a batch that time is reckoned with where the settings say `auto`; its memory is that of
one row, the least that works."""
TEMPLATE = 5  # tokens of `Question:`, `Answer:` and the line ends around a question


@dataclass(frozen=True)
class Asking:
    """One evaluation.

    Attributes:
        gpu_bytes: weights and the largest batch.
        flops, fp32_flops, traffic_bytes: as of StepPlan.
    """

    gpu_bytes: int
    flops: float
    fp32_flops: float
    traffic_bytes: float


@dataclass(frozen=True)
class _Prompts:
    """Prompts to be continued: how many, tokens of each and of what they share, new tokens."""

    count: int
    own: float
    shared: float
    new: int


def asking(
    shape: ModelShape,
    precision: str,
    sizes: Sizes,
    settings: Mapping[str, Any],
    *,
    questions_only: bool = False,
) -> Asking:
    """One evaluation of a model in a precision.

    Args:
        settings: keys of EvaluateSettings.
        questions_only: of a sweep's candidates: the questions alone.
    """
    method = Precision.parse(precision).method
    size = 2 if method in ("bf16", "int8") else 4
    weights = _weight_bytes(shape, method)
    fixed = settings["batch_size"]
    if fixed == "auto":
        fixed = INT8_ROWS if method == "int8" else AUTO_ROWS
    largest = 1 if settings["batch_size"] == "auto" and method != "int8" else fixed
    cache = 2 * shape.layers * shape.kv_heads * shape.head_dim * size
    work = 4 * (shape.hidden + shape.mlp) * size
    logits = (size + 4) * shape.vocabulary
    flops, traffic, batch = 0.0, 0.0, 0.0
    for prompts in _prompts(shape, sizes, settings, questions_only):
        width = prompts.own + prompts.shared + prompts.new
        rows = min(largest, prompts.count)
        batch = max(batch, rows * (cache * width + work * prompts.own + logits))
        tokens = prompts.count * prompts.own + prompts.shared
        flops += forward(shape, tokens, width, scored=prompts.count)
        flops += forward(shape, prompts.count * prompts.new, 2 * width)
        batches = -(-prompts.count // fixed)
        traffic += prompts.new * (batches * weights + prompts.count * cache * width)
    for texts in [] if questions_only else _texts(sizes):
        length = min(texts.mean, settings["max_tokens"], shape.context)
        longest = min(texts.longest, settings["max_tokens"], shape.context)
        rows = max(1, min(largest, texts.count, int(MOST_LOGITS // (logits * max(longest, 1)))))
        batch = max(batch, rows * longest * (work + logits))
        flops += forward(shape, texts.count * length, length)
    in_fp32 = flops if size == 4 else 0.0
    return Asking(weights + int(batch), flops - in_fp32, in_fp32, traffic)


def _weight_bytes(shape: ModelShape, method: str) -> int:
    """Of the model that is asked."""
    if method == "int8":
        return shape.matrices + 2 * (shape.parameters - shape.matrices)
    return (2 if method == "bf16" else 4) * shape.parameters


def _prompts(
    shape: ModelShape, sizes: Sizes, settings: Mapping[str, Any], questions_only: bool
) -> list[_Prompts]:
    found = []
    if not questions_only:
        texts, new = sizes["verbmem/forget"], settings["verbmem_tokens"]
        found.append(_Prompts(texts.count, min(texts.longest, shape.context - new), 0, new))
    for split in ("forget", "retain"):
        questions, examples = sizes[f"knowmem/{split}_qa"], sizes[f"knowmem/{split}_qa_icl"]
        new, own = settings["knowmem_tokens"], questions.mean + TEMPLATE
        shared = min(settings["shots"] * (examples.mean + TEMPLATE), shape.context - new - own)
        found.append(_Prompts(questions.count, own, shared, new))
    return found


def _texts(sizes: Sizes) -> list[Texts]:
    return [sizes[f"privleak/{split}"] for split in ("forget", "retain", "holdout")]
