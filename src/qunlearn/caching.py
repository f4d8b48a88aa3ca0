"""What decides a cached output besides its rule's settings: for Snakemake's cache of workflows.

Snakemake's key is made of the shell command as it is written in the rule, the parameters, the
rules before, and the content of files that no rule makes. Wildcards, threads, the machine and,
without conda, the versions of packages have no part in it: as parameters they do.
"""

import json
import os
import platform
import subprocess
import sys
from hashlib import sha256 as new_sha256
from pathlib import Path

from qunlearn.errors import InputError
from qunlearn.files import sha256
from qunlearn.provenance import installed

LOCATION = "SNAKEMAKE_OUTPUT_CACHE"
ALSO_DECIDING = ("accelerate", "gguf", "datasets")
"""Packages that decide a cached output, besides those that every manifest names."""


def check_location(path: str | None) -> None:
    """Refuse a cache that Snakemake would only complain about after hours of training.

    Args:
        path: the value of `SNAKEMAKE_OUTPUT_CACHE`.

    Raises:
        InputError: it is not set, or names no folder that can be written to, by its absolute path.
    """
    advice = f"set {LOCATION} to a folder for it, or leave --cache away"
    if not path:
        raise InputError(f"--cache was given, but the variable {LOCATION} is not set; {advice}")
    if not Path(path).is_absolute():  # the results are links into it
        raise InputError(f"{LOCATION}: '{path}' is no absolute path; {advice}")
    if not Path(path).is_dir():
        raise InputError(f"{LOCATION}: there is no folder {path}; make it, or leave --cache away")
    if not os.access(path, os.W_OK | os.X_OK):
        raise InputError(f"{LOCATION}: {path} cannot be written to; {advice}")


def versions(python: str) -> dict[str, str]:
    """Package -> version of what decides numbers, in the environment of an interpreter.

    Raises:
        InputError: the interpreter cannot be asked.
    """
    if python == sys.executable:
        return {"python": platform.python_version()} | installed(ALSO_DECIDING)
    try:
        told = subprocess.run(
            [python, "-m", "qunlearn.caching"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise InputError(
            f"config key 'python': {python} does not tell its packages' versions, which --cache "
            f"goes by ({type(error).__name__}); name the interpreter of the jobs"
        ) from None
    found: dict[str, str] = json.loads(told.stdout)
    return found


def content(files: list[str]) -> str:
    """What is in files, and in which of them: Snakemake sorts their hashes, without their names."""
    names = {f"{Path(file).parent.name}/{Path(file).name}": sha256(Path(file)) for file in files}
    return new_sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()


if __name__ == "__main__":
    print(json.dumps(versions(sys.executable)))
