"""A model whose weights, gradients and optimizer state are spread over processes (FSDP2).

Each layer is gathered when it computes and let go afterwards; what is not in a layer (embeddings,
norm, head) is gathered while the whole computes. Our losses call the decoder and the head apart, so
that `Sharded` runs a whole computation as its forward pass.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

R = TypeVar("R")
SHARDS = "shards"  # folder of a checkpoint


class Sharded(nn.Module):
    """A model in shards, one a process."""

    def __init__(self, whole: PreTrainedModel, offload: bool) -> None:
        """Shard `whole` in place.

        Args:
            offload: keep weights, gradients and optimizer state in the host's memory.
        """
        super().__init__()
        self.whole, self.config = whole, whole.config
        kind = "cuda" if torch.cuda.is_available() else "cpu"
        mesh = init_device_mesh(kind, (dist.get_world_size(),))
        policy = CPUOffloadPolicy(pin_memory=kind == "cuda") if offload else OffloadPolicy()
        for layer in whole.get_decoder().layers:
            fully_shard(layer, mesh=mesh, offload_policy=policy)
        # By default the root's weights would stay whole after a pass without gradients.
        fully_shard(self, mesh=mesh, offload_policy=policy, reshard_after_forward=True)

    def forward(self, compute: Callable[..., Any], *args: Any) -> Any:
        """`compute(whole, *args)`, which may use the model's parts as it likes."""
        return compute(self.whole, *args)

    def activation_checkpointing_enable(self, **kwargs: Any) -> None:
        """As of the whole model."""
        self.whole.activation_checkpointing_enable(**kwargs)

    def gather(self) -> dict[str, Tensor]:
        """The whole model's state, on the CPU of the first process; the others get nothing.

        All processes must call it.
        """
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        state: dict[str, Any] = get_model_state_dict(self, options=options)
        return {name.removeprefix("whole."): tensor for name, tensor in state.items()}


def save_shards(model: Sharded, optimizer: torch.optim.Optimizer, checkpoint: Path) -> None:
    """Each process writes its part of the weights and of the optimizer's state."""
    checkpoint.mkdir(parents=True, exist_ok=True)
    weights, moments = get_state_dict(model, optimizer)
    save({"model": weights, "optimizer": moments}, checkpoint_id=checkpoint / SHARDS)


def load_shards(model: Sharded, optimizer: torch.optim.Optimizer, checkpoint: Path) -> None:
    """Read what `save_shards` wrote, into a model and an optimizer in the same form."""
    weights, moments = get_state_dict(model, optimizer)
    load({"model": weights, "optimizer": moments}, checkpoint_id=checkpoint / SHARDS)
    set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=moments)


def within(model: nn.Module, compute: Callable[..., R], *args: Any) -> R:
    """`compute(model, *args)`: of a sharded model, in its forward pass."""
    if isinstance(model, Sharded):
        result: R = model(compute, *args)
        return result
    return compute(model, *args)


def processes() -> int:
    """How many take part; 1 where there is no process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; the first writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait_for_all() -> None:
    """Return once every process is here."""
    if dist.is_initialized():
        dist.barrier()


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, of `values` on the CPU."""
    if processes() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


def own_share(items: int) -> tuple[list[int], int]:
    """This process's share of range(items), as long as every other's, and how much of it counts.

    Computing with a sharded model takes all processes equally often, so that a share that is too
    short is filled up with the last item.
    """
    each = -(-items // processes())
    start = rank() * each
    mine = list(range(start, min(start + each, items)))
    return mine + [items - 1] * (each - len(mine)), len(mine)


def local(weight: Tensor) -> Tensor:
    """This process's part of a weight."""
    return weight.to_local() if isinstance(weight, DTensor) else weight
