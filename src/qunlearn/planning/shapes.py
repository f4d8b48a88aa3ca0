"""The shape of a Llama, and how many numbers are in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qunlearn.errors import InputError
from qunlearn.plainvalues import LARGEST, short
from qunlearn.settings.models import ModelSettings


@dataclass(frozen=True)
class ModelShape:
    """What decides the memory and the arithmetic of a Llama.

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
            InputError: a key is absent, or its value is no size.
        """
        try:
            hidden = _size(config_json, "hidden_size")
            heads = _size(config_json, "num_attention_heads")
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
        except KeyError as error:
            raise InputError(
                f"model config without '{error.args[0]}': the plan knows models shaped like Llama "
                "only; set models.shape to the name of one of resources/shapes.yaml"
            ) from None

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> "ModelShape":
        """The shape of the small Llama that the workflow trains from scratch."""
        return cls(
            vocabulary=settings.vocabulary,
            hidden=settings.hidden,
            mlp=settings.mlp,
            layers=settings.layers,
            heads=settings.heads,
            kv_heads=settings.heads,
            head_dim=settings.hidden // settings.heads,
            tied=False,
            context=settings.context,
        )

    def linear_shapes(self) -> dict[str, tuple[int, int]]:
        """Name -> (inputs, outputs) of each of a layer's seven matrices."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return {
            "q_proj": (self.hidden, queries),
            "k_proj": (self.hidden, keys),
            "v_proj": (self.hidden, keys),
            "o_proj": (queries, self.hidden),
            "gate_proj": (self.hidden, self.mlp),
            "up_proj": (self.hidden, self.mlp),
            "down_proj": (self.mlp, self.hidden),
        }

    @property
    def layer_matrices(self) -> int:
        """Weights in the matrices of one layer: what is quantized and what LoRA stands beside."""
        return sum(inputs * outputs for inputs, outputs in self.linear_shapes().values())

    @property
    def matrices(self) -> int:
        """Weights in the matrices of all layers."""
        return self.layers * self.layer_matrices

    @property
    def embedding(self) -> int:
        """Weights of the embedding, which are as many as the head's."""
        return self.vocabulary * self.hidden

    @property
    def norms(self) -> int:
        """Weights of the norms: two a layer and the last one."""
        return (2 * self.layers + 1) * self.hidden

    @property
    def parameters(self) -> int:
        """All weights."""
        return self.matrices + self.norms + self.embedding * (1 if self.tied else 2)


def _size(config_json: Mapping[str, Any], key: str, otherwise: int | None = None) -> int:
    """A size of a model's config; `otherwise` where it may be absent or null, and is."""
    if otherwise is not None and config_json.get(key) is None:
        return otherwise
    value = config_json[key]
    if type(value) is not int or not 0 < value <= LARGEST:
        raise InputError(
            f"model config with '{key}': {short(value)}, which is no size; replace config.json"
        )
    return value
