"""Per-token losses from hidden states, without ever holding all the logits.

The logits of a 2048-token row of a 32,000-token vocabulary are 262 MB in fp32, and a loss keeps
several copies. Here the head is applied to a chunk of positions at a time, and positions that do
not count are left out. What is kept for the backward pass is as large as the hidden states.
`chunked.py` has the gradients.

Why no fused kernel: liger-kernel's cross entropy sums the head's gradient over the tokens before it
knows their weights, so that NPO, which weighs rows by their summed NLL, got a wrong gradient from
it until a repair in 2026 (its pull request 1298), and its KL divergence cannot be tried without a
GPU. At 7B the head is 2 % of an update's multiplications: there is little to gain.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from qunlearn.training.chunked import chunk_length, chunked_nll
from qunlearn.training.rows import IGNORED, Batch


def causal_lm(model: nn.Module) -> PreTrainedModel:
    """The transformer under a PEFT wrapper, or the model itself."""
    wrapped = getattr(model, "get_base_model", None)
    return wrapped() if wrapped is not None else model  # type: ignore[return-value]


def suit_attention(model: nn.Module, device: torch.device) -> None:
    """Choose the attention that trains fastest on `device`.

    On a CPU the fused attention's backward pass is slow for short rows: plain attention takes a
    fifth off an update of 32 rows of 60 tokens.
    """
    if device.type == "cpu":
        causal_lm(model).set_attn_implementation("eager")


def hidden_states(model: nn.Module, batch: Batch) -> Tensor:
    """The last hidden states, after the final norm: [rows, tokens, hidden]."""
    decoder = causal_lm(model).get_decoder()
    output = decoder(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    )
    states: Tensor = output.last_hidden_state
    return states


def head_weight(model: nn.Module) -> Tensor:
    """The output embedding: [vocabulary, hidden]."""
    weight: Tensor = causal_lm(model).get_output_embeddings().weight
    return weight


def token_nll(hidden: Tensor, head: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """NLL of each token given those before it, and the mask of tokens that count.

    Args:
        hidden: [rows, tokens, hidden].
        head: [vocabulary, hidden].
        labels: [rows, tokens]; IGNORED where a token does not count.

    Returns:
        nll, mask: [rows, tokens - 1], float32, nats; nll is 0 where mask is 0.
    """
    targets = labels[:, 1:]
    counted = targets != IGNORED
    states, wanted = hidden[:, :-1].flatten(0, 1), targets.flatten()
    if len(states) <= chunk_length(len(head)):
        logits = F.linear(states, head).float()
        flat = F.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")
    else:
        places = counted.flatten().nonzero().squeeze(1)
        nll = chunked_nll(states[places], head, wanted[places])
        flat = torch.zeros(len(states), device=states.device).index_copy(0, places, nll)
    return flat.view(targets.shape), counted.float()


def mean_nll(nll: Tensor, mask: Tensor) -> Tensor:
    """Mean NLL over the tokens that count, of all rows together: a float32 scalar, nats.

    Args:
        nll: [rows, tokens], nats.
        mask: [rows, tokens], 1 where a token counts.
    """
    return (nll * mask).sum() / mask.sum()
