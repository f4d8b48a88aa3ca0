"""How a process ends early: by Ctrl-C, a scheduler that takes its machine back, a lost parent."""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
STARTER = "SNAKEMAKE_PID"  # environment: the process that a job's life hangs on


def listen(handler: Callable[[int, FrameType | None], Any]) -> dict[int, Any]:
    """Call `handler` when this process receives a stop signal; return the previous handlers.

    A shell's `&` has SIGINT ignored, and so it stays. `trap` in the rules' shell has SIGTERM
    ignored: the shell waits for us, but we listen.
    """
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    ours = [signal.SIGTERM] if ignored else STOP_SIGNALS
    return {number: signal.signal(number, handler) for number in ours}


def end(number: int, frame: FrameType | None = None) -> None:
    """Leave, where the signal itself would end the process on the spot."""
    for each in STOP_SIGNALS:  # a second signal must not interrupt the cleanup
        signal.signal(each, signal.SIG_IGN)
    leave(number, "give the same command again")


def leave(number: int, then: str) -> NoReturn:
    """Say that the process was stopped by a signal, and raise SystemExit."""
    line = f"error: stopped by {signal.Signals(number).name}; {then}\n"
    with suppress(OSError):  # the log may be on a full disk
        os.write(2, line.encode())  # not print, which may be what was interrupted
    sys.exit(128 + number)  # as the shell counts


def end_with_starter() -> None:
    """End this process at once when the Snakemake that started it is gone.

    A job whose Snakemake was killed would go on unseen, beside the next run's jobs. Nothing is
    watched where a job has another Snakemake than the one that is killed, as on a cluster.
    """
    try:
        descriptor = os.pidfd_open(int(os.environ.get(STARTER, "")))
    except (AttributeError, OSError, ValueError):
        return  # not on Linux, in a container of its own, or started by hand

    def watch() -> None:
        select.select([descriptor], [], [])  # readable when the process has ended
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
