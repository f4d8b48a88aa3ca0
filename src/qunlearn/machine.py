"""Whether the machine has the disk, the memory and the GPU that the plan takes."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from shutil import disk_usage

from qunlearn.checks import Check
from qunlearn.experiment.config import Json
from qunlearn.plan import Job, disk
from qunlearn.run import hardware
from qunlearn.run.errors import InputError


def host_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def free_bytes(path: Path) -> int:
    """What is free on the disk that `path`, or its first parent that exists, is on."""
    return disk_usage(existing(path)).free


def existing(path: Path) -> Path:
    """`path`, or its first parent that exists."""
    path = path.absolute()
    return path if path.exists() else existing(path.parent)


def check_disk(jobs: Sequence[Job], results: Path, missing: int, cached: int) -> Iterator[Check]:
    """There is room for what jobs leave, for what one at a time has besides, and for downloads.

    Args:
        results: where the experiment's outputs go.
        missing: bytes of weights that the hub's cache lacks.
        cached: bytes of weights that it has and the results do not: where both are on one disk
            they will be links, which take no room.

    Raises:
        InputError: there is not.
    """
    stay, wait, work = disk(jobs)
    present = sum(file.lstat().st_size for file in results.rglob("*") if file.is_file())
    needed = {results: stay + wait - present}
    if missing or cached:
        from huggingface_hub import constants

        cache = Path(constants.HF_HUB_CACHE)
        if _disk(cache) == _disk(results):
            needed[results] -= cached
        else:
            needed[cache] = missing
    needed[results] = max(0, needed[results]) + work
    for path, size in needed.items():
        free = free_bytes(path)
        if size > free:
            raise InputError(
                f"{path}: another {size / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are "
                "free; make room, set keep_models to false, or use a larger disk"
            )
        yield Check("disk", str(path), numbers={"needed_bytes": size, "free_bytes": free})


def check_memory(config: Json, jobs: Sequence[Job], *, cluster: bool) -> Iterator[Check]:
    """The machine has the memory and the GPU that jobs take.

    Args:
        cluster: whether jobs run on other machines: then what this one lacks is a warning.

    Raises:
        InputError: it has not, and jobs run here.
    """
    gpus = hardware.gpu_bytes()
    asking = [f"resources.{kind}.gpu" for kind, job in config["resources"].items() if job["gpu"]]
    problems = {}
    if asking and not gpus:
        problems[asking[0]] = (
            f"config key '{asking[0]}': no NVIDIA GPU is here; write 0, or use one"
        )
    for part, has in ({"host": host_bytes()} | ({"gpu": max(gpus)} if gpus else {})).items():
        job = max(jobs, key=lambda job: int(getattr(job, part)))
        needed = int(getattr(job, part))
        if needed > has:
            problems[f"{part} memory"] = (
                f"{job.stage}: {needed / 1e9:.1f} GB of {part} memory are needed, and this machine "
                f"has {has / 1e9:.1f} GB; lower micro_batch_size, or use a larger machine"
            )
        yield Check(f"{part} memory", job.stage, numbers={"needed_bytes": needed, "has_bytes": has})
    for what, problem in problems.items():
        if not cluster:
            raise InputError(problem)
        yield Check("machine", what, "warning", note=problem)


def _disk(path: Path) -> int:
    return existing(path).stat().st_dev
