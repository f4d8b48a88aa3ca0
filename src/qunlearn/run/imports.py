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

    transformers asks whether an optional package is installed and, if so, imports it at once:
    `Trainer` alone then pulls in pandas, pyarrow and bitsandbytes' kernels. Without the packages
    in `OPTIONAL`, torch and `Trainer` load in 2.7 s instead of 4.2 s, which a workflow of short
    jobs pays for again and again. Call it before the first import of transformers and leave out
    what the job needs (peft for LoRA, bitsandbytes for int8, fp4 and nf4, gptqmodel for GPTQ).
    gptqmodel is the slowest of them: peft alone would import it, with torchao, for 3 s.

    `torch.compile` is turned off as well, unless TORCHDYNAMO_DISABLE is set already: no job uses
    it, but bitsandbytes decorates functions with it and so loads its compiler for 0.9 s.

    A package that is loaded already stays as it is. Hidden packages stay hidden for the life of
    the process, hence this is for scripts, not for library code.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    for package in packages:
        # None is Python's own mark of a halted import; importlib.util.find_spec honours it too.
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
