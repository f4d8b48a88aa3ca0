"""Run a function in several processes that know of each other: by torchrun's own launcher.

This module and the process that starts the others import no transformers.
"""

import os
import sys
from importlib import import_module
from typing import Any

from qunlearn.run.cli import hide_unused
from qunlearn.run.errors import InputError
from qunlearn.run.signals import end, listen

PATIENCE = 3600  # seconds for a last checkpoint


def launch(processes: int, function: str, **arguments: Any) -> None:
    """Call `function` in new processes, one a GPU (NCCL) or several on the CPU (gloo).

    When one fails, the others are ended. Signals are passed on to them.

    Args:
        function: `<module>:<name>`, imported in the new processes alone.
        arguments: of the function; they must be picklable.

    Raises:
        SystemExit: a process failed or was asked to end, and has said so.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

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
    except SignalException as asked:
        sys.exit(128 + asked.sigval)


def _work(function: str, arguments: dict[str, Any]) -> None:
    listen(end)
    hide_unused()  # what trains in shards needs none of them
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # all processes are on this machine
    import torch
    import torch.distributed as dist

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
