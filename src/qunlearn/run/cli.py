"""How every script in `workflow/scripts`, and the command `qunlearn`, meets the shell."""

import atexit
import gc
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from qunlearn.run.errors import InputError
from qunlearn.run.files import disk_error
from qunlearn.run.signals import end, end_with_starter, listen

# A waiting OpenMP thread that spins starves its neighbours: 20x slower steps beside a busy core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# With one workspace a stream cuBLAS sums in one order; it reads this when CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
OPTIONAL = {
    *("datasets", "sklearn", "scipy", "peft"),
    *("bitsandbytes", "gptqmodel", "optimum", "torchao"),
}
"""What transformers imports on sight, though most jobs of the workflow need none of it."""
T = TypeVar("T", bound=Callable[..., None])


def run_script(main: T) -> T:
    """Call `main`, of the file that Python was started with, with its arguments from the shell.

    A decorator; in an imported file it does nothing. Flags come from the types of the arguments,
    `--help` from the docstring of the file, or of `main`. What the workflow made of what it reads
    is compared with its manifests before.

    Exits with 2 and one line on stderr when the command line, an input or the disk is at fault, and
    with 128 + the signal's number when a signal stopped it.
    """
    if main.__module__ == "__main__":
        main.__doc__ = main.__doc__ or sys.modules["__main__"].__doc__
        _run(main)
    return main


def run_commands(commands: Mapping[str, Callable[..., None]]) -> None:
    """Call the one that the first argument from the shell names, as `run_script` does its main."""
    _run(commands)


def _run(mains: Callable[..., None] | Mapping[str, Callable[..., None]]) -> None:
    listen(end)
    end_with_starter()
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):  # the Trainer would wait for more processes
        os.environ.pop(name, None)
    import tyro

    # Importing torch makes a million objects that live to the end: a collector that looks at them
    # again and again, and once more at exit, takes a second of each job's four.
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)
    try:
        if isinstance(mains, Mapping):
            checked = {name: _checked(main) for name, main in mains.items()}
            config = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
            tyro.extras.subcommand_cli_from_dict(checked, prog="qunlearn", config=config)
        else:
            rules = (tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff)  # `--sealed True`
            tyro.cli(_checked(mains), config=rules)
    except Exception as error:
        fault = error if isinstance(error, InputError) else disk_error(error, Path.cwd())
        if fault is None:
            raise
        with suppress(OSError):  # the log may be on the disk that is full
            print(f"error: {fault}", file=sys.stderr, flush=True)
        sys.exit(2)


def _checked(main: Callable[..., None]) -> Callable[..., None]:
    """`main` after its files and folders were compared with their manifests."""

    @wraps(main)
    def checked(**arguments: Any) -> None:
        from qunlearn.run.manifest import check_inputs

        check_inputs(arguments)
        main(**arguments)

    return checked


def hide_unused(*used: str) -> None:
    """Make the packages of `OPTIONAL` but the `used` look uninstalled to every later import.

    transformers imports every optional package that is installed. Without those in `OPTIONAL`,
    torch and `Trainer` load in 2.7 s instead of 4.2 s, which each short job pays for.
    `torch.compile`, which no job uses, is off: bitsandbytes would load its compiler for 0.9 s.

    Call it in a script before the first import of transformers. A package that is loaded already
    stays as it is.
    """
    os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
    for package in OPTIONAL - set(used):
        # None is Python's own mark of a halted import; importlib.util.find_spec honours it too.
        sys.modules.setdefault(package, None)  # type: ignore[arg-type]
