"""Renew the locks: what the direct pins of each environment bring along, and the hashes of all.

    make locks                    # after a pin in envs/*.yaml was changed
    python envs/lock.py train     # one environment only

The first part of an environment's pip list, down to the comment `BROUGHT`, is written by hand. From
it uv resolves the whole set for CPython 3.11 on 64-bit Linux, with the versions of
envs/pip/constraints.txt where that names any, and this program writes

* envs/NAME.lock: every version with the SHA-256 of its files on PyPI, for pip --require-hashes;
* the second part of envs/NAME.yaml: the same versions, for conda has no use for the lock;
* envs/cuda.lock: the CUDA libraries that PyPI's torch brings on Linux. They are apart from the
  others, so that torch's CPU build can be installed from the same locks without gigabytes of them.

Versions that a lock has already are kept as long as they fit. Needs: uv, and PyPI.
"""

import re
import subprocess
import sys
from pathlib import Path

ENVS = Path(__file__).parent
BROUGHT = "      # Brought along by these; written by: make locks\n"
PLATFORM = ("--python-version", "3.11.7", "--python-platform", "x86_64-manylinux_2_28")
CUDA = re.compile(r"nvidia-|cuda-|triton\b")
"""What torch's build for CUDA brings along and its build for CPUs does not."""
CONSTRAINTS = ENVS / "pip/constraints.txt"
OF_ITS_OWN = "autogptq"
"""The environment with older versions of everything, to which no constraint applies."""


def main(names: list[str]) -> None:
    """Lock the named environments, or all of them and CUDA's libraries."""
    for name in names or sorted(file.stem for file in ENVS.glob("*.yaml")):
        lock_environment(name)
    if not names:
        lock_cuda()


def lock_environment(name: str) -> None:
    """Write NAME.lock and the second part of NAME.yaml."""
    file = ENVS / f"{name}.yaml"
    by_hand, mark, _ = file.read_text(encoding="utf-8").partition(BROUGHT)
    if not mark:
        sys.exit(f"error: {file} lacks the line {BROUGHT.strip()!r} after its direct pins")
    direct = re.findall(r"^      - (\S+)$", by_hand, re.MULTILINE)
    constraints = () if name == OF_ITS_OWN else ("--constraint", str(CONSTRAINTS))
    everything = resolve(direct, *constraints)
    without = [option for each in everything if CUDA.match(each) for option in left_out(each)]
    locked = resolve(direct, *constraints, *without, lock=ENVS / f"{name}.lock")
    named = {canonical(pin) for pin in direct}
    brought = [pin for each, pin in locked.items() if each not in named]
    file.write_text(
        by_hand + mark + "".join(f"      - {pin}\n" for pin in brought), encoding="utf-8"
    )


def lock_cuda() -> None:
    """Write cuda.lock: what run.txt's torch needs of CUDA."""
    torch = re.findall(r"^torch==\S+$", (ENVS / "pip/run.txt").read_text(), re.MULTILINE)
    everything = resolve(torch)
    without = [option for each in everything if not CUDA.match(each) for option in left_out(each)]
    resolve(torch, *without, lock=ENVS / "cuda.lock")


def resolve(pins: list[str], *options: str, lock: Path | None = None) -> dict[str, str]:
    """Package -> exact pin of all that `pins` need; written with hashes into `lock` if given."""
    command = ["uv", "pip", "compile", "--quiet", "--no-config", "--no-progress", *PLATFORM]
    command += ["--custom-compile-command", "make locks", "--annotation-style", "line", *options]
    if lock:
        command += ["--generate-hashes", "--output-file", str(lock)]
    done = subprocess.run(
        [*command, "-"], input="\n".join(pins), stdout=subprocess.PIPE, text=True, cwd=ENVS.parent
    )
    if done.returncode:
        sys.exit(f"error: uv finds no versions that go with: {', '.join(pins)}")
    text = lock.read_text(encoding="utf-8") if lock else done.stdout
    return {canonical(pin): pin for pin in re.findall(r"^[\w.-]+==[^\s;]+", text, re.MULTILINE)}


def left_out(package: str) -> tuple[str, str]:
    """The option by which uv resolves a package without writing it."""
    return "--no-emit-package", package


def canonical(pin: str) -> str:
    """A pin's package in the spelling that compares equal: Some_Package==1 -> some-package."""
    return re.sub(r"[-_.]+", "-", pin.partition("==")[0]).lower()


if __name__ == "__main__":
    main(sys.argv[1:])
