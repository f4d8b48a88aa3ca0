"""Being asked to end: by Ctrl-C, by a scheduler that wants its machine back, by a lost parent."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ASKING = (signal.SIGINT, signal.SIGTERM)
STARTER = "SNAKEMAKE_PID"  # environment: the process that a job's life hangs on
Handler = Callable[[int, FrameType | None], Any]


class Stopped(SystemExit):
    """The process was asked to end; it leaves nothing half-written and can be started again.

    Attributes:
        told: what happened, in one line.
    """

    def __init__(self, number: int, told: str = "") -> None:
        super().__init__(128 + number)  # as the shell counts
        name = signal.Signals(number).name
        self.told = told or f"stopped by {name}; give the same command again"


class Request:
    """Whether the process was asked to end.

    Attributes:
        number: the signal's; 0 where none came.
    """

    number: int = 0


def unwind_when_asked() -> None:
    """End the program by an exception where a signal would end it on the spot.

    Python's own answer to SIGTERM is to die without clearing up.
    """
    _listen(_unwind)


@contextmanager
def noted() -> Iterator[Request]:
    """Only note within the block that the process is asked to end: the block ends by itself.

    A second Ctrl-C does not wait for that.
    """
    request = Request()

    def note(number: int, frame: FrameType | None) -> None:
        if number == request.number == signal.SIGINT:
            _unwind(number, frame)
        request.number = request.number or number

    before = _listen(note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_starter() -> None:
    """Ask this process to end once the Snakemake that started it is gone.

    A job whose Snakemake was killed would go on unseen, beside the next run's jobs. Nothing is
    watched where a job has another Snakemake than the one that is killed, as on a cluster.
    """
    starter = os.environ.get(STARTER, "")
    if not starter.isdecimal() or not hasattr(os, "pidfd_open"):  # which only Linux has
        return
    try:
        descriptor = os.pidfd_open(int(starter))
    except OSError:
        return  # in a container of its own

    def watch() -> None:
        select.select([descriptor], [], [])  # readable when the process has ended
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def _unwind(number: int, frame: FrameType | None) -> None:
    # Clearing up is not to be interrupted by the same wish again; impatience may, with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    raise Stopped(number)


def _listen(handler: Handler) -> dict[int, Any]:
    """Install `handler`; return what was there before. A shell's `&` has SIGINT ignored, and `trap`
    in the rules' shell SIGTERM: the shell waits for us, but we listen."""
    before: dict[int, Any] = {}
    for number in ASKING:
        if number == signal.SIGTERM or signal.getsignal(number) != signal.SIG_IGN:
            before[number] = signal.signal(number, handler)
    return before
