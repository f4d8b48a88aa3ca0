"""What the shape of a Llama decides: its weights, its arithmetic, and the memory of training it.

The most memory at once of a training, in tensors, is within 5 % of measured peaks
(docs/performance.md):

    weights + moments + max(gradients, copies + states + head)

and the gradients once more where several passes add to them. *States* are what a forward pass keeps
for the backward pass: of all losses, or with checkpointing of one, of which only the layers' inputs
are kept. With h = hidden, m = mlp, q = heads * head_dim, T = tokens of a row, a = bytes that are
multiplied (2: bf16), r = bytes of the residual stream (4; 2 in `full_bf16`), a layer keeps per
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
from dataclasses import dataclass
from typing import Any

from qunlearn.run.errors import InputError
from qunlearn.settings.fixed import CHUNK, LORA_LAYERS

LARGEST = 2**31 - 1


@dataclass(frozen=True)
class ModelShape:
    """The sizes of a Llama.

    Attributes:
        vocabulary: rows of the embedding.
        hidden: width of the residual stream.
        mlp: width inside the MLP.
        layers: decoder layers.
        heads: query heads.
        kv_heads: key and value heads; fewer than `heads` where queries share them.
        head_dim: width of a head.
        tied: whether the output head is the embedding.
        context: longest sequence in tokens.
    """

    vocabulary: int
    hidden: int
    mlp: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    context: int

    @classmethod
    def from_config(cls, config_json: Mapping[str, Any]) -> "ModelShape":
        """The shape that a checkpoint's config.json describes, in transformers' names.

        Raises:
            InputError: a key is missing, or its value is not a size.
        """
        hidden, heads = _size(config_json, "hidden_size"), _size(config_json, "num_attention_heads")
        return cls(
            vocabulary=_size(config_json, "vocab_size"),
            hidden=hidden,
            mlp=_size(config_json, "intermediate_size"),
            layers=_size(config_json, "num_hidden_layers"),
            heads=heads,
            kv_heads=_size(config_json, "num_key_value_heads", heads),
            head_dim=_size(config_json, "head_dim", hidden // heads),
            tied=bool(config_json.get("tie_word_embeddings", False)),
            context=_size(config_json, "max_position_embeddings"),
        )

    @classmethod
    def from_architecture(cls, architecture: Mapping[str, Any]) -> "ModelShape":
        """The shape of the small Llama that is trained from scratch, from `models.architecture`."""
        names = ("vocabulary", "hidden", "mlp", "layers", "heads", "context")
        sizes = {name: int(architecture[name]) for name in names}
        heads = sizes["heads"]
        return cls(**sizes, kv_heads=heads, head_dim=sizes["hidden"] // heads, tied=False)

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Name -> (inputs, outputs) of each of a layer's seven matrices."""
        keys = self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, self.queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (self.queries, self.hidden),
            "gate_proj": (self.hidden, self.mlp),
            "up_proj": (self.hidden, self.mlp),
            "down_proj": (self.mlp, self.hidden),
        }

    @property
    def queries(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def layer_matrices(self) -> int:
        """Weights in the matrices of one layer: what is quantized and what LoRA is added to."""
        return sum(inputs * outputs for inputs, outputs in self.linear_shapes().values())

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


def _size(config_json: Mapping[str, Any], key: str, otherwise: int | None = None) -> int:
    """A size in a model's config; `otherwise` stands in for a key that is absent or null."""
    value = config_json.get(key)
    if value is None and otherwise is not None:
        return otherwise
    if type(value) is not int or not 0 < value <= LARGEST:
        raise InputError(
            f"model config: '{key}' is missing or not a whole number from 1 to {LARGEST}; give the "
            "config.json of a model that is shaped like Llama"
        )
    return value


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        shape: of the model.
        settings: keys of TrainSettings or UnlearnSettings.
        adapter: `full`, `full_bf16` or `lora`.
        losses: `nll` or `kl`, for each term of the objective.
        cpu: whether it runs on the CPU, where attention is not fused.
    """

    shape: ModelShape
    settings: Mapping[str, Any]
    adapter: str = "full"
    losses: tuple[str, ...] = ("nll",)
    cpu: bool = False

    @property
    def lora(self) -> bool:
        """Whether low-rank matrices are trained."""
        return self.adapter == "lora"

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight, its gradient and each of its moments: 2 without fp32 masters."""
        return 2 if self.adapter == "full_bf16" else 4

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
        ends = sum(inputs + outputs for inputs, outputs in self.tuned.values())
        return self.shape.layers * int(self.settings["rank"]) * ends

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
        forms; a trained head's copy as it is multiplied, and its gradients."""
        logits = self.rows * int(self.settings["max_tokens"]) * self.shape.vocabulary
        copies = 4 + self.compute_bytes * (2 if self.weight_bytes > self.compute_bytes else 1)
        head = 0 if self.lora else copies * self.shape.embedding
        return (24 if loss == "kl" else 14) * min(CHUNK, logits) + head

    def update_bytes(self) -> int:
        """Of the training itself; FSDP's part was never compared with a measured peak."""
        shape, a, r = self.shape, self.compute_bytes, self.weight_bytes
        positions = self.rows * int(self.settings["max_tokens"])
        weights, gradients, moments = r * shape.parameters, r * self.trained, self.moments
        casts = r > a and not self.lora and self.processes == 1
        if self.lora:  # frozen matrices are kept as they are multiplied
            frozen = shape.matrices + (0 if shape.tied else shape.embedding)
            weights += r * self.trained - (r - a) * frozen
        if self.processes > 1:  # a share; whole only what is not in a layer, and two layers
            share = 0 if self.settings["offload"] else 1 / self.processes
            whole = r * (shape.parameters - shape.matrices + 2 * shape.layer_matrices)
            weights, gradients = int(share * weights) + whole, int(share * gradients) + whole
            moments = int(share * moments)
        if "kl" in self.losses:  # the reference: its head, and its states of a batch
            weights += a * (shape.embedding + positions * shape.hidden)
        summed = gradients if self.rows * self.processes < self.settings["batch_size"] else 0
        layer = positions * self.layer_states()
        outside = (3 * r + a) * positions * shape.hidden  # around the last norm, as multiplied
        if self.settings["gradient_checkpointing"]:
            again = layer + (2 * shape.layer_matrices if casts else 0)
            states = outside + positions * shape.layers * shape.hidden * r
            states += max(again, *map(self.head_bytes, self.losses))
            states += gradients - summed if len(self.losses) > 1 else 0  # of the loss before
        else:
            states = len(self.losses) * (outside + layer * shape.layers)
            states += self.head_bytes(self.losses[-1])
            states += 2 * shape.matrices if casts else 0
        most = weights + moments + summed + max(states, gradients - summed)
        if not self.lora:
            return most
        # Frozen weights one by one: made narrow and compared; back in fp32, moments still there.
        largest = max(inputs * outputs for inputs, outputs in shape.linear_shapes().values())
        turning = max(6 * largest, 4 * largest + moments)
        return max(most, 4 * (shape.parameters + self.trained) + turning)
