"""How an update's rows are spread over processes and forward passes, checked before any work."""

import torch

from qunlearn.errors import InputError
from qunlearn.settings.unlearning import Adapter, UnlearnSettings


def micro_batch(settings: UnlearnSettings) -> int:
    """Rows that a process takes in a forward pass.

    Raises:
        InputError: the batch cannot be divided like that.
    """
    share, rest = divmod(settings.batch_size, settings.processes)
    if rest:
        raise InputError(
            f"processes {settings.processes} does not divide batch_size {settings.batch_size}; "
            "use a number that does"
        )
    micro = settings.micro_batch_size or share
    if share % micro:
        whose = f"a process's share {share} of " if settings.processes > 1 else ""
        raise InputError(
            f"micro_batch_size {micro} does not divide {whose}batch_size {settings.batch_size}; "
            "use one that does, or 0"
        )
    return micro


def check_sharding(settings: UnlearnSettings, adapter: Adapter) -> None:
    """Complain about settings of several processes that contradict each other or the machine.

    Raises:
        InputError: they do.
    """
    if settings.sharding == "none":
        if settings.processes > 1 or settings.offload:
            raise InputError(
                f"processes {settings.processes} and offload {str(settings.offload).lower()} need "
                "sharding fsdp"
            )
        return
    if adapter == "lora":
        raise InputError(
            "sharding fsdp: LoRA trains too little to be spread; use none for its runs (overrides)"
        )
    if settings.optimizer != "adamw":
        raise InputError(
            f"optimizer {settings.optimizer} does not work in shards; use adamw, with offload "
            "where memory is short"
        )
    micro_batch(settings)
    seen = torch.cuda.device_count()
    if torch.cuda.is_available() and settings.processes > seen:
        raise InputError(f"processes {settings.processes}: only {seen} GPUs are visible; lower it")
