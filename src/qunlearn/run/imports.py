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


def hide(*packages: str) -> None:
    """Make `packages` look uninstalled to every import that follows in this process.

    transformers imports every optional package that is installed. Without those in `OPTIONAL`,
    torch and `Trainer` load in 2.7 s instead of 4.2 s, which each short job pays for.
    `torch.compile`, which no job uses, is off: bitsandbytes would load its compiler for 0.9 s.

    Call it in a script before the first import of transformers; leave out what the job needs (peft
    for LoRA, bitsandbytes for int8, fp4 and nf4, gptqmodel for GPTQ). A package that is loaded
    already stays as it is.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    for package in packages:
        # None is Python's own mark of a halted import; importlib.util.find_spec honours it too.
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
