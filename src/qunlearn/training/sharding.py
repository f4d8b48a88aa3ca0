"""Training in several processes: how they are launched, and a model spread over them (FSDP2).

The Trainer's own FSDP keeps the checkpoints, clips the gradients and steps the optimizer. Only the
model is sharded here, by torch's `fully_shard`: accelerate (1.15) would put the final norm and the
head into one group, which works only where the head is called as a layer, and our losses take its
weight, chunk by chunk; and it would do so after a checkpoint was loaded, when the reference that
the losses need is gone.
"""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from qunlearn.run.cli import hide_unused
from qunlearn.run.errors import InputError
from qunlearn.run.signals import end, listen
from qunlearn.settings.unlearning import Adapter, UnlearnSettings

R = TypeVar("R")
PATIENCE = 3600  # seconds for a last checkpoint


def launch(processes: int, function: str, **arguments: Any) -> None:
    """Call `function` in new processes, one a GPU (NCCL) or several on the CPU (gloo).

    When one fails, the others are ended. Signals are passed on to them.

    Args:
        function: `<module>:<name>`, imported in the new processes alone.
        arguments: of the function; they must be picklable.

    Raises:
        SystemExit: a process failed or was stopped, and has printed why.
    """
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # a port that is free
        local_addr="localhost",
        max_restarts=0,
        shutdown_timeout=PATIENCE,
    )
    try:
        elastic_launch(config, _work)(function, arguments)
    except ChildFailedError as error:
        sys.exit(max(error.get_first_failure()[1].exitcode, 1))
    except SignalException as stopped:
        sys.exit(128 + stopped.sigval)


def _work(function: str, arguments: dict[str, Any]) -> None:
    listen(end)
    hide_unused()  # what trains in shards needs none of them
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo")
    try:
        module, _, name = function.partition(":")
        getattr(import_module(module), name)(**arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(2)  # at once: the others may wait for this process, and it for them
    except SystemExit as stopped:
        os._exit(int(str(stopped.code)))
    dist.destroy_process_group()


def check_sharding(settings: UnlearnSettings, adapter: Adapter) -> None:
    """Raise an InputError where settings contradict each other or the machine has too few GPUs."""
    micro_batch(settings)
    gpus, processes = torch.cuda.device_count(), settings.processes
    shards, adamw = settings.sharding == "fsdp", settings.optimizer == "adamw"
    faults = {
        "processes: several need sharding fsdp": processes > 1 and not shards,
        "sharding: LoRA trains too little to be spread; use none": adapter == "lora" and shards,
        "optimizer: adamw_8bit does not work in shards": not adamw and shards,
        "sharding: full_sr does not work in shards; use none": adapter == "full_sr" and shards,
        "optimizer: full_sr has its own; use adamw": adapter == "full_sr" and not adamw,
        f"processes: only {gpus} GPUs are visible; lower it": 0 < gpus < processes,
    }
    for message, found in faults.items():
        if found:
            raise InputError(message)


def micro_batch(settings: UnlearnSettings) -> int:
    """Rows that a process takes in a forward pass; an InputError where they divide no batch."""
    share, rest = divmod(settings.batch_size, settings.processes)
    micro = settings.micro_batch_size or share
    if rest or share % micro:
        raise InputError(
            f"micro_batch_size: {settings.micro_batch_size} times {settings.processes} processes "
            f"does not divide batch_size {settings.batch_size}; use numbers that do, or 0"
        )
    return micro


def shard(model: Any) -> None:
    """Spread `model` in place; compute with it by `within`.

    Each layer is gathered when it computes and let go afterwards; what is not in a layer
    (embeddings, norm, head) is gathered while the whole computes.
    """
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    mesh = init_device_mesh(kind, (dist.get_world_size(),))
    for layer in model.get_decoder().layers:
        fully_shard(layer, mesh=mesh)
    # By default the root's weights would stay whole after a pass without gradients.
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    model.run = lambda compute, *args: compute(model, *args)
    register_fsdp_forward_method(model, "run")


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` has spread `model`."""
    return isinstance(model, FSDPModule)


def within(model: Any, compute: Callable[..., R], *args: Any) -> R:
    """`compute(model, *args)`, which may use the model's parts as it likes: all are gathered."""
    result: R = model.run(compute, *args) if is_sharded(model) else compute(model, *args)
    return result


def trainer_settings(settings: UnlearnSettings) -> dict[str, Any]:
    """The Trainer's arguments for a model in shards; none for others."""
    if settings.sharding == "none":
        return {}
    return {
        "fsdp": True,
        "fsdp_config": {
            "version": 2,
            "auto_wrap_policy": "NO_WRAP",  # it is sharded already
            "state_dict_type": "SHARDED_STATE_DICT",
        },
        # Whole gradients, kept until the last micro-batch, would be as large as the model.
        "accelerator_config": {"gradient_accumulation_kwargs": {"sync_each_batch": True}},
    }


def gather(model: nn.Module) -> dict[str, Tensor]:
    """The whole state of a model in shards, on the CPU of the first process; none elsewhere.

    All processes must call it.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state: dict[str, Any] = get_model_state_dict(model, options=options)
    return state


def processes() -> int:
    """How many take part; 1 where there is no process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is; the first writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, of `values` on the CPU."""
    if processes() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total


def gathered(values: Tensor) -> Tensor:
    """The `values` of all processes, on the CPU, joined along the last dimension."""
    if processes() == 1:
        return values
    parts = [torch.empty_like(values) for _ in range(processes())]
    dist.all_gather(parts, values)
    return torch.cat(parts, dim=-1)
