"""Run a function in several processes that know of each other, as `torchrun` would start them.

One process a GPU (NCCL), or several on the CPU (gloo). The function is named by its module, so that
this module and the process that starts the others import neither it nor transformers.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from signal import SIGTERM
from typing import Any

from qunlearn.errors import InputError
from qunlearn.imports import hide
from qunlearn.signals import Stopped, noted, unwind_when_asked


def launch(processes: int, function: str, hidden: Sequence[str], **arguments: Any) -> None:
    """Call `function` in `processes` new processes, and wait for all of them.

    When one fails, the others are ended.

    Args:
        function: `<module>:<name>`.
        hidden: packages that must look uninstalled, as `imports.hide` makes them in this process.
        arguments: of the function; they must be picklable.

    Raises:
        InputError: the function raised it in a process.
        Stopped: this process, or one of the new ones, was asked to end.
    """
    from torch.multiprocessing import (  # type: ignore[attr-defined]
        ProcessExitedException,
        ProcessRaisedException,
        start_processes,
    )

    with tempfile.TemporaryDirectory() as name, noted() as request:
        folder = Path(name)
        context = start_processes(  # type: ignore[no-untyped-call]
            _work,
            args=(processes, folder, function, tuple(hidden), arguments),
            nprocs=processes,
            join=False,
            start_method="spawn",
        )
        passed_on = False
        try:
            # When one has ended for all, the others come to their own end first.
            while not context.join(timeout=1, grace_period=10):
                if request.number and not passed_on:
                    passed_on = True
                    for process in context.processes:
                        process.terminate()
        except (ProcessExitedException, ProcessRaisedException):
            told = folder / "error"
            if request.number or (folder / "stopped").exists():
                raise _stopped(request.number, folder) from None
            if not told.exists():
                raise
            raise InputError(told.read_text(encoding="utf-8")) from None
        if request.number or (folder / "stopped").exists():
            raise _stopped(request.number, folder)


def _stopped(number: int, folder: Path) -> Stopped:
    told = folder / "stopped"
    return Stopped(number or SIGTERM, told.read_text(encoding="utf-8") if told.exists() else "")


def _work(
    rank: int,
    processes: int,
    folder: Path,
    function: str,
    hidden: Sequence[str],
    arguments: dict[str, Any],
) -> None:
    unwind_when_asked()
    hide(*hidden)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
    }
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine
    import torch
    import torch.distributed as dist

    if torch.cuda.is_available():
        torch.cuda.set_device(rank)
    dist.init_process_group(
        "cuda:nccl,cpu:gloo" if torch.cuda.is_available() else "gloo",
        # A file, not a port: no other job on the machine can have it.
        init_method=f"file://{folder / 'meeting'}",
        rank=rank,
        world_size=processes,
    )
    module, _, name = function.partition(":")
    try:
        getattr(import_module(module), name)(**arguments)
    except InputError as error:
        (folder / "error").write_text(str(error), encoding="utf-8")
        os._exit(2)  # at once: the others may wait for this process, and it for them
    except Stopped as stopped:
        (folder / "stopped").write_text(stopped.told, encoding="utf-8")
        os._exit(int(str(stopped.code)))
    dist.destroy_process_group()
