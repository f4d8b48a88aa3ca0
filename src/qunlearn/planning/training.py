"""How a model is trained, as far as memory and arithmetic depend on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from qunlearn.planning.shapes import ModelShape

Device = Literal["cpu", "cuda"]
TARGETS = {"qv": ("q_proj", "v_proj"), "odu": ("o_proj", "down_proj", "up_proj")}


@dataclass(frozen=True)
class Training:
    """A training job.

    Attributes:
        shape: of the model.
        adapter: `full`, `full_bf16` or `lora`.
        rows: rows of one forward pass.
        tokens: tokens of the longest row.
        losses: one letter pair a loss term whose graph is held until the backward pass: `nll`
            (also of GA and NPO) or `kl`. Ordinary training has one, unlearning has two.
        device: where it runs: it decides which attention is used.
        autocast: whether it multiplies in bf16; `full_bf16` does in any case.
        checkpointing: whether only the layers' inputs are kept for the backward pass.
        accumulates: whether gradients are summed over several forward passes.
        eight_bit: whether AdamW keeps its moments in 8 bits.
        rank: of the LoRA matrices.
        targets: which layers are under LoRA: `all`, `qv` or `odu`.
        dropout: LoRA's dropout.
        looks: whether it looks at the forget rows' NLL, twice as many rows a forward pass.
        processes: that share weights, gradients and moments, and the rows (FSDP); one a GPU.
        offload: whether their shares are in the host's memory.
    """

    shape: ModelShape
    adapter: str
    rows: int
    tokens: int
    losses: tuple[str, ...]
    device: Device = "cuda"
    autocast: bool = True
    checkpointing: bool = False
    accumulates: bool = False
    eight_bit: bool = False
    rank: int = 0
    targets: str = "all"
    dropout: float = 0.0
    looks: bool = False
    processes: int = 1
    offload: bool = False

    @classmethod
    def of_finetuning(
        cls, shape: ModelShape, settings: Mapping[str, Any], longest: int, device: Device
    ) -> "Training":
        """Ordinary training of all weights, fp32 masters.

        Args:
            settings: keys of TrainSettings.
            longest: tokens of the longest row.
        """
        return cls(
            shape=shape,
            adapter="full",
            rows=settings["batch_size"],
            tokens=longest,
            losses=("nll",),
            device=device,
            autocast=settings["autocast"],
            checkpointing=settings["gradient_checkpointing"],
        )

    @classmethod
    def of_unlearning(
        cls,
        shape: ModelShape,
        objective: str,
        adapter: str,
        settings: Mapping[str, Any],
        longest: int,
        device: Device,
    ) -> "Training":
        """Unlearning.

        Args:
            settings: keys of UnlearnSettings.
            longest: tokens of the longest row.
        """
        sharded = settings["sharding"] == "fsdp" and adapter != "lora"
        processes = settings["processes"] if sharded else 1
        share = settings["batch_size"] // processes
        micro = settings["micro_batch_size"] or share
        _, _, retain = objective.partition("_")
        return cls(
            shape=shape,
            adapter=adapter,
            rows=micro,
            tokens=longest,
            losses=("nll", *({"gdr": ["nll"], "klr": ["kl"]}.get(retain, []))),
            device=device,
            autocast=settings["autocast"] and adapter != "full_bf16",
            checkpointing=settings["gradient_checkpointing"],
            accumulates=micro < share,
            eight_bit=settings["optimizer"] == "adamw_8bit",
            rank=settings["rank"],
            targets=settings["targets"],
            dropout=settings["dropout"],
            looks=True,
            processes=processes,
            offload=settings["offload"],
        )

    @property
    def tuned(self) -> dict[str, tuple[int, int]]:
        """Name -> (inputs, outputs) of the matrices of a layer that LoRA stands beside."""
        shapes = self.shape.linear_shapes()
        return {name: shapes[name] for name in TARGETS.get(self.targets, tuple(shapes))}

    @property
    def trained(self) -> int:
        """Weights that are trained."""
        if self.adapter != "lora":
            return self.shape.parameters
        return self.shape.layers * sum(self.rank * sum(ends) for ends in self.tuned.values())

    @property
    def weight_bytes(self) -> int:
        """Bytes of a weight, its gradient and its moments: 2 without fp32 masters."""
        return 2 if self.adapter == "full_bf16" else 4

    @property
    def compute_bytes(self) -> int:
        """Bytes of a number that is multiplied."""
        return 2 if self.autocast or self.adapter == "full_bf16" else 4

    @property
    def casts(self) -> bool:
        """Whether autocast makes bf16 copies of fp32 weights and states."""
        return self.weight_bytes > self.compute_bytes
