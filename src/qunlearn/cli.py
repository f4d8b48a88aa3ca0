"""How every script in `workflow/scripts` meets the shell."""

import atexit
import gc
import os
import sys
from collections.abc import Callable

from qunlearn.errors import InputError

# A waiting OpenMP thread that spins starves its neighbours: 20x slower steps beside a busy core.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def run_script(main: Callable[..., None]) -> None:
    """Call `main` with its arguments parsed from the command line by their types.

    Exits with 2 and one line on stderr when the command line or an input is at fault.
    """
    import tyro

    # Importing torch makes a million objects that live to the end: a collector that looks at them
    # again and again, and once more at exit, takes a second of each job's four.
    gc.set_threshold(50_000, 20, 100)
    atexit.register(gc.freeze)
    try:
        tyro.cli(main, config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagConversionOff))
    except InputError as error:
        sys.exit(_fail(error))


def _fail(error: InputError) -> int:
    message = " ".join(str(error).split())
    print(f"error: {message}", file=sys.stderr)
    return 2
