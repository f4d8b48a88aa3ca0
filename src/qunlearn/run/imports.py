"""Keeping what a job does not use out of its process."""

import os
import sys

OPTIONAL = (
    "datasets",
    "sklearn",
    "scipy",
    "peft",
    "bitsandbytes",
    "gptqmodel",
    "optimum",
    "torchao",
)
"""What transformers imports on sight, though most jobs of the workflow need none of it."""


def hide_unused(*used: str) -> None:
    """Make the packages of `OPTIONAL` but the `used` look uninstalled to every later import.

    transformers imports every optional package that is installed. Without those in `OPTIONAL`,
    torch and `Trainer` load in 2.7 s instead of 4.2 s, which each short job pays for.
    `torch.compile`, which no job uses, is off: bitsandbytes would load its compiler for 0.9 s.

    Call it in a script before the first import of transformers. A package that is loaded already
    stays as it is.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    for package in set(OPTIONAL) - set(used):
        # None is Python's own mark of a halted import; importlib.util.find_spec honours it too.
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
