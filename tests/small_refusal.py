"""What a process of its own can call without importing PyTorch."""

import time

from qunlearn.run.errors import InputError


def refuse(value: str) -> None:
    raise InputError(f"{value}: not that; use another")


def wait() -> None:
    print("waiting", flush=True)
    time.sleep(600)
