"""What a process of its own can call without importing PyTorch."""

from qunlearn.errors import InputError


def refuse(value: str) -> None:
    raise InputError(f"{value}: not that; use another")
