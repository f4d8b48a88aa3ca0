"""What a process of its own can call without importing PyTorch."""

import os
import time

from qunlearn.run.errors import InputError


def refuse(value: str) -> None:
    raise InputError(f"{value}: not that; use another")


def wait() -> None:
    os.write(1, b"waiting\n")  # in one piece
    for _ in range(6000):  # Python acts on a signal between two calls: one long sleep may hide it
        time.sleep(0.1)
