"""What the machine has, and whether it is enough for the plan. Nothing here loads torch."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import disk_usage

from qunlearn import hardware
from qunlearn.checks import Check
from qunlearn.config import Json
from qunlearn.errors import InputError
from qunlearn.planning import StepPlan
from qunlearn.planning.disk import standing, working


def host_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_bytes(path: Path) -> int:
    """What is free on the disk that `path`, or the first of its parents that exists, is on."""
    return disk_usage(existing(path)).free


def existing(path: Path) -> Path:
    """`path`, or the first of its parents that exists."""
    path = path.absolute()
    return path if path.exists() else existing(path.parent)


def check_disk(
    plan: Sequence[StepPlan], results: Path, missing: int = 0, cached: int = 0
) -> Iterator[Check]:
    """There is room for what the jobs leave, for what one at a time has, and for downloads.

    Weights in the hub's cache are linked into the results where both are on one disk, so that
    what the plan counts of them is all that they take.

    Args:
        plan: of the experiment.
        results: where the experiment's outputs go.
        missing: bytes of weights that are still to come into the hub's cache.
        cached: bytes of weights that are there, but not yet in the results.

    Raises:
        InputError: there is not.
    """
    present = sum(file.lstat().st_size for file in results.rglob("*") if file.is_file())
    linked = 0
    if missing or cached:
        from huggingface_hub import constants

        cache = Path(constants.HF_HUB_CACHE)
        if _disk(cache) == _disk(results):
            linked = cached
        else:
            yield _room("the hub's cache", cache, missing)
    yield _room("results", results, max(0, standing(plan) - present - linked) + working(plan))


def _disk(path: Path) -> int:
    return existing(path).stat().st_dev


def _room(whose: str, path: Path, needed: int) -> Check:
    free = free_bytes(path)
    if needed > free:
        raise InputError(
            f"{path}: the disk has {_gb(free)} free, and {whose} need another {_gb(needed)}; make "
            "room, lower `keep`, or use a larger disk"
        )
    return Check("disk", whose, numbers={"needed_bytes": needed, "free_bytes": free})


def check_memory(config: Json, plan: Sequence[StepPlan], *, cluster: bool) -> Iterator[Check]:
    """The machine has the memory and the GPU that the jobs take.

    Raises:
        InputError: it has not, and jobs run here.
    """
    gpus = hardware.gpu_bytes()
    asking = [name for name, job in config["resources"].items() if job["gpu"]]
    if asking and not gpus:
        yield _lacking(
            Check("GPU", f"resources.{asking[0]}.gpu", numbers={"gpus": 0}),
            f"config key 'resources.{asking[0]}.gpu': this machine has no NVIDIA GPU; write 0 to "
            "run on the processor, or run where there is one",
            cluster,
        )
    largest = [("memory", "host_bytes", host_bytes())]
    if gpus:
        largest.append(("GPU memory", "gpu_bytes", max(gpus)))
    for what, part, has in largest:
        if not plan:
            continue
        step = max(plan, key=lambda step: int(getattr(step, part)))
        needed = int(getattr(step, part))
        check = Check(what, step.step, numbers={"needed_bytes": needed, "machine_bytes": has})
        if needed <= has:
            yield check
        else:
            yield _lacking(
                check,
                f"{step.step} needs {_gb(needed)} of {what} and this machine has {_gb(has)}; see "
                "plan.py for what takes it, lower micro_batch_size or max_tokens, or use a larger "
                "machine",
                cluster,
            )


def _lacking(check: Check, message: str, cluster: bool) -> Check:
    if not cluster:
        raise InputError(message)
    return Check(check.check, check.of, "warning", check.numbers, message)


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
