"""What a forward pass of a Llama keeps for the backward pass, counted tensor by tensor.

A layer, per position, with h = hidden, m = mlp, q = heads * head_dim, T = tokens of the row, a =
bytes that are multiplied (2: bf16), r = bytes of the residual stream (4; 2 in `full_bf16`):

| kept | bytes |
|---|---|
| two norms: the input in fp32 | 8 h |
| two norms: what the trained weight multiplies | 2 r h, none under LoRA |
| inputs of q, k, v; o; gate, up; down | a (2 h + q + m); autocast casts for each anew |
| queries, keys, values (repeated to all heads) | 3 a q |
| fused attention: a sum a head | 4 heads |
| plain attention: the softmax in fp32, and in a where a is 2 | (4 + a) heads T |
| gate before and after the activation, up | 3 a m |
| LoRA: the narrow states; dropout's masks | a rank; 1 (CUDA) or 4 (CPU) a kept input |

Under LoRA a matrix's input is kept only for the matrices that have an adapter, since frozen weights
need no gradient. Korthikanti et al. 2022 (arXiv 2205.05198, section 4.1) count a GPT's layer in the
same way. Plain attention is what a CPU trains with (`losses.suit_attention`).
"""

from dataclasses import dataclass

from qunlearn.planning.training import Training

CHUNK = 2**23  # logits held at once: training.chunked.CHUNK


@dataclass(frozen=True)
class Head:
    """Bytes of a loss over the vocabulary.

    Attributes:
        held: from its forward pass to its backward pass.
        working: besides, in its backward pass.
    """

    held: int
    working: int


def layer_states(training: Training) -> float:
    """Bytes a position that one layer keeps."""
    shape = training.shape
    hidden, mlp, a = shape.hidden, shape.mlp, training.compute_bytes
    queries = shape.heads * shape.head_dim
    lora = training.adapter == "lora"
    norms = 8 * hidden + (0 if lora else 2 * training.weight_bytes * hidden)
    if lora or training.casts:
        inputs = a * sum(width for width, _ in training.tuned.values())
    else:
        inputs = a * (2 * hidden + queries + mlp)
    attention = 3 * a * queries
    if training.device == "cpu":
        attention += (4 + (a if a == 2 else 0)) * shape.heads * training.tokens
    else:
        attention += 4 * shape.heads
    adapters = 0
    if lora:
        adapters = a * training.rank * len(training.tuned)
        if training.dropout:
            mask = 4 if training.device == "cpu" else 1
            adapters += mask * sum(width for width, _ in training.tuned.values())
    return norms + inputs + attention + 3 * a * mlp + adapters


def head_states(training: Training, loss: str) -> Head:
    """The logits of a loss and what is made of them, with V = vocabulary, C = positions a chunk.

    | | held | working |
    |---|---|---|
    | any: states before and after the last norm, and without the last token | 3 r h positions | |
    | NLL, one chunk | 4 V positions | 8 V positions |
    | KL, one chunk | 8 V positions | 16 V positions |
    | NLL, chunks (with those of the chunk before) | a h positions | 14 V C |
    | KL, chunks (likewise) | a h positions, and 4 V h under a trained head | 24 V C |
    | trained head in chunks, as it is multiplied | | a V h |
    | trained head: its gradient, of all (but KL's) and of a chunk | | (4 + a) V h |
    """
    shape, a = training.shape, training.compute_bytes
    positions = training.rows * training.tokens
    trained = training.adapter != "lora"
    held = 3 * training.weight_bytes * positions * shape.hidden
    copy = a * shape.embedding if training.casts and trained else 0
    gradient = (4 + a) * shape.embedding if trained else 0
    if positions <= CHUNK // shape.vocabulary:
        of_all, at_once = (4, 8) if loss == "nll" else (8, 16)
        held += of_all * positions * shape.vocabulary
        return Head(held, at_once * positions * shape.vocabulary + gradient)
    held += a * positions * shape.hidden
    if loss == "nll":
        return Head(held, 14 * CHUNK + copy + gradient)
    if trained:
        held += 4 * shape.embedding
        gradient = a * shape.embedding
    return Head(held, 24 * CHUNK + copy + gradient)


def reference_states(training: Training) -> int:
    """What the KL term's reference takes: a copy of the head, and the states of a batch's rows."""
    if "kl" not in training.losses:
        return 0
    positions = training.rows * training.tokens
    return training.compute_bytes * (training.shape.embedding + positions * training.shape.hidden)


def look_states(training: Training) -> int:
    """The largest memory of a look at the forget rows, which has no gradients."""
    if not training.looks:
        return 0
    shape, a = training.shape, training.compute_bytes
    positions = 2 * training.rows * training.tokens
    head = 10 * min(CHUNK, positions * shape.vocabulary) + a * shape.embedding
    states = 3 * training.weight_bytes * shape.hidden
    copy = 2 * shape.layer_matrices if training.casts else 0
    return max(positions * passing(training, a) + copy, positions * states + head)


def passing(training: Training, a: int) -> int:
    """Bytes a position of the layer that a pass without gradients is in.

    Its input, the norm's output as it is and as it is multiplied; and the larger of what the
    attention makes (queries, keys, values, output; plain: the scores twice and the softmax in
    fp32) and what the MLP makes: gate, its activation and up, or under LoRA the activation and
    up's two parts with what becomes of them.

    Args:
        training: of the model; how it is passed through is up to `a`.
        a: bytes of a number that is multiplied.
    """
    shape = training.shape
    attention = 4 * a * shape.heads * shape.head_dim
    if training.device == "cpu":
        attention += (4 + 2 * a) * shape.heads * training.tokens
    mlp = (6 if training.adapter == "lora" else 3) * a * shape.mlp
    return (2 * training.weight_bytes + a) * shape.hidden + max(mlp, attention)
