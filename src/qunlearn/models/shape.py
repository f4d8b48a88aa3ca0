"""What the shape of a Llama decides: its weights, its arithmetic, and the memory of training it.

The most memory at once of a training, in tensors, is within 5 % of measured peaks
(docs/performance.md):

    weights + moments + max(gradients, copies + states + head)

and the gradients once more where several passes add to them. *States* are what a forward pass keeps
for the backward pass: of all losses, or with checkpointing of one, of which only the layers' inputs
are kept. With h = hidden, m = mlp, q = heads * head_dim, T = tokens of a row, a = bytes that are
multiplied (2: bf16), r = bytes of the residual stream (4; 2 without masters), a layer keeps per
position (Korthikanti et al. 2022, arXiv 2205.05198, section 4.1, count a GPT's likewise):

| kept | bytes |
|---|---|
| two norms: the input in fp32; what the trained weight multiplies | 8 h; 2 r h, none under LoRA |
| inputs of q, k, v; o; gate, up; down | a (2 h + q + m); autocast casts for each anew |
| queries, keys, values, repeated to all heads; gate twice, up | 3 a q; 3 a m |
| fused attention: a sum a head | 4 heads |
| plain attention (CPU): the softmax in fp32, and in a where a is 2 | (4 + a) heads T |
| LoRA: the narrow states; dropout's masks | a rank; 1 (CUDA) or 4 (CPU) an input |

Under LoRA only matrices with an adapter keep their input. *Copies* are the bf16 weights that
autocast makes of trained ones; those of frozen ones live as long as their use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

from qunlearn.run.errors import InputError
from qunlearn.settings.fixed import CHUNK, LORA_LAYERS, PIECE, WHOLE
from qunlearn.settings.unlearning import IN_BF16

LARGEST = 2**31 - 1


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a Llama."""

    vocabulary: int  # rows of the embedding
    hidden: int  # width of the residual stream
    mlp: int  # width inside the MLP
    layers: int
    heads: int  # of queries
    kv_heads: int  # of keys and values; fewer where queries share them
    head_dim: int
    tied: bool  # whether the output head is the embedding
    context: int  # longest sequence in tokens
    kind: str = field(default="", compare=False)  # transformers' type; empty of one to be trained

    @classmethod
    def from_config(cls, config_json: Mapping[str, Any]) -> "ModelShape":
        """The shape in a checkpoint's config.json; an InputError where a key is no size."""

        def size(key: str, otherwise: int | None = None) -> int:
            value = config_json.get(key)
            value = otherwise if value is None else value
            if type(value) is not int or not 0 < value <= LARGEST:
                raise InputError(
                    f"model config: '{key}' is not a whole number from 1 to {LARGEST}; get Llama's"
                )
            return value

        hidden, heads = size("hidden_size"), size("num_attention_heads")
        return cls(
            vocabulary=size("vocab_size"),
            hidden=hidden,
            mlp=size("intermediate_size"),
            layers=size("num_hidden_layers"),
            heads=heads,
            kv_heads=size("num_key_value_heads", heads),
            head_dim=size("head_dim", hidden // heads),
            tied=bool(config_json.get("tie_word_embeddings", False)),
            context=size("max_position_embeddings"),
            kind=str(config_json.get("model_type", "")),
        )

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any]) -> "ModelShape":
        """The shape of the small Llama that is trained from scratch, from `models.architecture`."""
        names = ("vocabulary", "hidden", "mlp", "layers", "heads", "context")
        sizes: Any = {name: int(architecture[name]) for name in names}
        heads = sizes["heads"]
        return cls(**sizes, kv_heads=heads, head_dim=sizes["hidden"] // heads, tied=False)

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Name -> (inputs, outputs) of each of a layer's seven matrices."""
        hidden, queries, keys = self.hidden, self.queries, self.kv_heads * self.head_dim
        return (
            {"q_proj": (hidden, queries), "o_proj": (queries, hidden)}
            | {name: (hidden, keys) for name in ("k_proj", "v_proj")}
            | {name: (hidden, self.mlp) for name in ("gate_proj", "up_proj")}
            | {"down_proj": (self.mlp, hidden)}
        )

    @property
    def queries(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def layer_matrices(self) -> int:
        """Weights in the matrices of one layer: what is quantized and what LoRA is added to."""
        return sum(map(prod, self.linear_shapes().values()))

    @property
    def matrices(self) -> int:
        """Weights in the matrices of all layers."""
        return self.layers * self.layer_matrices

    @property
    def embedding(self) -> int:
        """Weights of the embedding; the head has as many."""
        return self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        """All weights, two norms a layer and the last norm included."""
        norms = (2 * self.layers + 1) * self.hidden
        return self.matrices + norms + self.embedding * (1 if self.tied else 2)

    def forward_flops(self, tokens: float, length: float, scored: float | None = None) -> float:
        """Floating-point operations of a forward pass; a multiplication and an addition are two.

        2 a weight and token, and 2 layers q T for causal attention (PaLM, Chowdhery et al. 2022,
        appendix B, halved).

        Args:
            tokens: of all rows together.
            length: tokens of a row.
            scored: positions whose logits are computed; default: all.
        """
        layers = 2 * self.matrices + 2 * self.layers * self.queries * length
        return tokens * layers + (tokens if scored is None else scored) * 2 * self.embedding


@dataclass(frozen=True)
class Training:
    """A training."""

    shape: ModelShape
    settings: Mapping[str, Any]  # keys of TrainSettings or UnlearnSettings
    adapter: str = "full"  # or full_bf16, full_sr, lora
    losses: tuple[str, ...] = ("nll",)  # `nll` or `kl`, for each term of the objective
    cpu: bool = False  # whether it runs on the CPU, where attention is not fused

    @property
    def lora(self) -> bool:
        """Whether low-rank matrices are trained."""
        return self.adapter == "lora"

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight, its gradient and each of its moments: 2 without fp32 masters."""
        return 2 if self.adapter in IN_BF16 else 4

    @property
    def compute_bytes(self) -> int:
        """Bytes of a number that is multiplied."""
        return 2 if self.settings["autocast"] else self.weight_bytes

    @property
    def processes(self) -> int:
        """Processes that share weights, gradients, moments and rows (FSDP), one a GPU."""
        sharded = self.settings.get("sharding", "none") == "fsdp" and not self.lora
        return int(self.settings["processes"]) if sharded else 1

    @property
    def rows(self) -> int:
        """Rows of a forward pass."""
        share = self.settings["batch_size"] // self.processes
        return int(self.settings.get("micro_batch_size") or share)

    @property
    def positions(self) -> int:
        """Positions of a forward pass."""
        return self.rows * int(self.settings["max_tokens"])

    @property
    def tuned(self) -> dict[str, tuple[int, int]]:
        """Name -> (inputs, outputs) of a layer's matrices that are trained or have an adapter."""
        shapes = self.shape.linear_shapes()
        names = LORA_LAYERS.get(self.settings["targets"], shapes) if self.lora else shapes
        return {name: shapes[name] for name in names}

    @property
    def trained(self) -> int:
        """Weights that are trained."""
        if not self.lora:
            return self.shape.parameters
        return self.shape.layers * int(self.settings["rank"]) * sum(map(sum, self.tuned.values()))

    @property
    def moments(self) -> int:
        """Bytes of Adam's moments: two numbers a weight in its own format (Kingma & Ba 2015).

        In 8 bits two bytes, and for each 256 weights two fp32 maxima (Dettmers et al. 2022); the
        embedding's stay in fp32.
        """
        if self.settings.get("optimizer") != "adamw_8bit":
            return 2 * self.weight_bytes * self.trained
        embedding = 0 if self.lora else self.shape.embedding
        return int((self.trained - embedding) * 2 * (1 + 4 / 256)) + 8 * embedding

    def layer_states(self) -> int:
        """Bytes a position that a layer keeps, as in the table above."""
        shape, a = self.shape, self.compute_bytes
        inputs = sum(width for width, _ in self.tuned.values())
        softmax = (4 + (a if a == 2 else 0)) * int(self.settings["max_tokens"]) if self.cpu else 4
        states: int = 8 * shape.hidden + 3 * a * (shape.queries + shape.mlp) + softmax * shape.heads
        if self.lora:
            masks = (4 if self.cpu else 1) * inputs if self.settings["dropout"] else 0
            return states + a * (inputs + int(self.settings["rank"]) * len(self.tuned)) + masks
        kept = inputs if self.weight_bytes > a else 2 * shape.hidden + shape.queries + shape.mlp
        return states + 2 * self.weight_bytes * shape.hidden + a * kept

    def head_bytes(self, loss: str) -> int:
        """Bytes that a loss works with: logits, a chunk at a time (training/losses.py), in several
        forms; a trained head's copy as it is multiplied, and its gradient."""
        a, r, embedding = self.compute_bytes, self.weight_bytes, self.shape.embedding
        trained = 0 if self.lora else embedding
        narrow = a * trained if r > a else 0
        logits, forms = self.positions * self.shape.vocabulary, 24 if loss == "kl" else 14
        if logits <= WHOLE:
            return forms * logits + narrow + a * trained
        products, summed = a * min(CHUNK, logits), r * trained
        others = products if loss == "kl" else 0
        formula = others + forms * PIECE + (summed if logits > CHUNK else 0)
        return products + narrow + max(formula, a * trained + summed)

    def update_bytes(self) -> int:
        """Of the training itself; FSDP's part was never compared with a measured peak."""
        shape, a, r, positions = self.shape, self.compute_bytes, self.weight_bytes, self.positions
        weights, gradients, moments = r * shape.parameters, r * self.trained, self.moments
        if self.lora:  # frozen matrices are kept as they are multiplied
            frozen = shape.matrices + (0 if shape.tied else shape.embedding)
            weights += r * self.trained - (r - a) * frozen
        if self.processes > 1:  # a share; whole only what is not in a layer, and two layers
            whole = r * (shape.parameters - shape.matrices + 2 * shape.layer_matrices)
            weights, gradients = (part // self.processes + whole for part in (weights, gradients))
            moments //= self.processes
        if "kl" in self.losses:  # the reference: its head, and its states of a batch
            weights += a * (shape.embedding + positions * shape.hidden)
        casts = 2 if r > a and not self.lora and self.processes == 1 else 0  # bytes a weight
        summed = gradients if self.rows * self.processes < self.settings["batch_size"] else 0
        layer = positions * self.layer_states()
        outside = (3 * r + a) * positions * shape.hidden  # around the last norm, as multiplied
        if self.settings["gradient_checkpointing"]:
            again = layer + casts * shape.layer_matrices
            states = outside + positions * shape.layers * shape.hidden * r
            states += max(again, *map(self.head_bytes, self.losses))
            states += gradients - summed if len(self.losses) > 1 else 0  # of the loss before
        else:
            states = len(self.losses) * (outside + layer * shape.layers)
            states += self.head_bytes(self.losses[-1]) + casts * shape.matrices
        most = weights + moments + summed + max(states, gradients - summed)
        if not self.lora:
            return most
        # At first frozen weights are in fp32; one by one they are made narrow and compared.
        turning = saved = 0
        for size in map(prod, shape.linear_shapes().values()):
            turning, saved = max(turning, 6 * size - saved), saved + 2 * size
        return max(most, 4 * (shape.parameters + self.trained) + turning)
